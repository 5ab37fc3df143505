"""The revisions of the schema of a read log."""
