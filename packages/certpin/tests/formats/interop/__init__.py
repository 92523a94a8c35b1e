"""The exports in their real clients. `make proof` writes the results to docs/formats-proof.md."""
