"""Commands beside the pipeline, run as `python -m scripts.NAME`, most of them by a make target.

demo tries everything on synthetic images. table trains the original's table, retrain repeats one
training, verify checks metrics/ against the checkpoints, checkpoints pulls and publishes weights,
pages writes the results into the README files, listed checks that what is listed is trained and
published, merge resolves a merge of two trainings. review compares two commits (sides reads them),
comment posts that on a pull request, simulate shows how often its verdicts are wrong (with
simulated and statistics_page), experiments shows DVC's experiments, plots draws DVC's plots as SVG.
same_bits shows that an edit changes no bit (with side_by_side), locks checks the locks, older_keras
loads checkpoints in older Keras versions. For them, the tests and faults, checkout makes copies of
the checkout, git calls git, repository opens DVC's, and command runs other commands.
"""
