"""The pipeline's stages, one file each: fetch, preprocess, train, evaluate, report.

Read them in that order, which is that of dvc.yaml. A stage reads params.yaml and its inputs, calls
the library in resnet/ once, and writes its outputs.
"""
