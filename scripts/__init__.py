"""What people run beside the pipeline, each as a make target or as `python -m scripts.NAME`.

demo tries everything on synthetic images, verify checks metrics/ against the checkpoints, review
compares two commits, plots draws DVC's plots as SVG, locks checks the locks.
"""
