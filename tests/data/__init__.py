"""Tests of resnet/data: downloads, archives, CIFAR-10's files and synthetic images.

They run offline: downloads come from a server on loopback, and archives are made in the tests.
"""
