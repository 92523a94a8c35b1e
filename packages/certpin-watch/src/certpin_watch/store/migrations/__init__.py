"""The revisions of the schema: ``versions`` has a file each, which alembic runs in their order."""
