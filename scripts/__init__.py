"""Commands beside the pipeline, run as `python -m scripts.NAME`, most of them by a make target.

demo tries everything on synthetic images, verify checks metrics/ against the checkpoints, review
compares two commits (sides reads them), comment posts that on a pull request, simulate shows how
often its verdicts are wrong (with statistics_page), same_bits shows that an edit changes no bit
(with side_by_side), plots draws DVC's plots as SVG, locks checks the locks, older_keras loads
checkpoints in older Keras versions. checkout makes copies of the checkout for them, the tests and
faults.
"""
