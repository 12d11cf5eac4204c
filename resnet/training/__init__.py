"""One training, from arrays to a checkpoint and its record.

step.py is what happens to a batch, with augment, optimizer and normalization; draws.py draws its
random numbers. loop.py runs the epochs, with schedule, and run.py the whole training. identity,
progress, resume and interrupt let a killed training resume, and record describes a finished one.
"""
