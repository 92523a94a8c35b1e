"""``make bench``: certpin beside its peers, each figure a ratio from one paired run.

Absolute times depend on the machine more than on the code, so none is printed without its ratio.
Nothing here is a test: a slow machine fails no build.
"""
