"""The revisions of the schema of quotas."""
