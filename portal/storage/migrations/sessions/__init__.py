"""The revisions of the schema of sessions."""
