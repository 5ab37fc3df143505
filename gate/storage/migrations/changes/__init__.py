"""The revisions of the schema of the feed of changes."""
