"""Tests of scripts/, each script in the file of its name.

They run the scripts as a user does, in temporary copies of the checkout.
"""
