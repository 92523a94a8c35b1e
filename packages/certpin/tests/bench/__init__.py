"""Benchmarks that compare certpin with similar programs (``make bench``).

Each result is a ratio of two programs, measured in turns in one run. Absolute times depend on the
machine more than on the code, so none is printed without its ratio. Nothing here is a test: a slow
machine fails no build.
"""
