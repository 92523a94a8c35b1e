"""Build and check everything that a release uploads: ``make release``."""
