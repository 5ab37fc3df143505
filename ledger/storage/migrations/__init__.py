"""The Alembic revisions of the consent log's tables."""
