"""Tests of single stages, each in the file of its name.

tests/test_pipeline.py runs them together, under a real dvc.
"""
