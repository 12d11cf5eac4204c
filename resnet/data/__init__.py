"""From CIFAR-10's archive to arrays a network can read.

Read download, archive and cifar10, which get and check the official files, or synthetic, which
makes a small data set in their format; then arrays, which training and evaluation read.
"""
