"""One training, from arrays to a checkpoint and its record.

Read step, what happens to a batch, with draws, augment, optimizer and normalization; then loop,
the epochs, with schedule; then run, the whole training, with progress, resume, identity and record.
"""
