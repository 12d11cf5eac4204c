"""The tests mirror the tree: tests/data tests resnet/data, tests/stages tests stages, and so on.

test_pipeline.py runs the whole pipeline under a real dvc on small synthetic images. test_house.py
and test_readme.py check the structure of the repository and the statements of its documentation.
"""
