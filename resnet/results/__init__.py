"""From a checkpoint's predictions to tables, plots and reviews.

Read scores, trained and evaluation, which score checkpoints; then metrics, summary and store, the
records and the files in metrics/; then recipes, placement, cells, notes, markdown, tables and
plots, which render them; then intervals, verdicts, review and provenance, which compare two
commits, and review_page and curves, which show the comparison.
"""
