"""Everything that is served by HTTP: pages, API, metrics, health, and the way in for reports."""
