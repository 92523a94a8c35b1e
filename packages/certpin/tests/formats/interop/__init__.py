"""The exports in their real clients. `make proof` writes what came out to docs/formats-proof.md."""
