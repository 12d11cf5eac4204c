"""From a checkpoint's answers to tables, plots and reviews.

Read scores, then metrics and store, which hold the results and the layout of metrics/; then tables
and plots, which show them; then review and provenance, which compare two commits.
"""
