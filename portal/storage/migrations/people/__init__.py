"""The revisions of the schema of people's keys."""
