"""Tests of resnet/results: scores, tables, plots, reviews and provenance.

Most work on metrics files written by the tests, so they need neither checkpoints nor Keras.
"""
