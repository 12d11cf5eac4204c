"""Commands beside the pipeline, each a make target and `python -m scripts.NAME`.

demo runs the pipeline on synthetic images, verify checks metrics/ against the checkpoints, review
compares two commits, plots draws DVC's plots as SVG, and locks checks the locks. checkout.py makes
the copies of the checkout that demo, faults/, speed/ and the tests run in.
"""
