"""The revisions of the schema of texts that customers saw."""
