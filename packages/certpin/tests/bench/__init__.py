"""``make bench``: certpin beside its peers, each figure a ratio from one paired run.

Bare times say more about the machine than about the code, so none is printed alone. Nothing here
is a test: a slow machine fails no build.
"""
