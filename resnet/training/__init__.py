"""One training, from arrays to a checkpoint and its record.

To learn how a network is trained, read schedule (the learning rate), augment, optimizer, step (one
training step) and loop (the epochs). draws has their random numbers, inputs their images, and
normalization a faster batch normalization. run puts a whole training together.

identity, progress, resume, interrupt and options let a killed training resume. history, checkpoint,
record and output write a finished one. preflight, pending, cost and messages check and print.
"""
