"""The revisions of the schema: Alembic runs the files of ``versions`` in order."""
