"""From a checkpoint's predictions to tables, plots and reviews.

Read scores, trained and evaluation, which score checkpoints; then metrics, summary, published and
store, the records and the files in metrics/; then recipes, placement, cells, agreement, stale,
notes, markdown, tables and score_tables, which render the tables, rows, which writes results.csv,
and plots, labels and pictures, which draw; then intervals, verdicts, review, provenance and
same_bits, which compare two commits, and review_page and curves, which show the comparison.
"""
