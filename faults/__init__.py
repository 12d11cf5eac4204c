"""Fault injection: real trainings are killed, and real stages get bad inputs.

`make faults` or `python -m faults PART ...` runs everything, and the results are in
faults/README.md. kills.py and pipeline.py kill processes, and inputs.py breaks files.
"""
