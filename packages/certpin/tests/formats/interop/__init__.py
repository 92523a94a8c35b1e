"""The exports in their real clients.

`make proof` writes the results to docs/reference/formats-proof.md.
"""
