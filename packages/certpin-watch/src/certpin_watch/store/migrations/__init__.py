"""The revisions of the database schema: Alembic runs the files in ``versions`` in order."""
