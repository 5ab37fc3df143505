"""The Alembic revisions of the steward's schemas, one folder each."""
