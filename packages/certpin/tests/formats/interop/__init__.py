"""Tests that run the exported files in the real clients they are for, against the lab.

`make proof` writes the results to docs/reference/formats-proof.md.
"""
