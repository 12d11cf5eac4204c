"""From CIFAR-10's archive to the arrays that a network reads.

download, archive and cifar10 fetch and check the official files. synthetic makes a small data set
in the same format. arrays writes and opens the preprocessed arrays.
"""
