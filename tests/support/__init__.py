"""Helpers that several test files share, so that no test imports another.

checkout.py runs commands in copies of the checkout, loopback.py is a local web server, and
connections.py records the network connections of a command.
"""
