"""Speed and memory beside other people's ways. `make speed`, or `python -m speed PART ...`; the tables are in speed/README.md."""
