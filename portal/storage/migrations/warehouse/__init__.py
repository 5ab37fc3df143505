"""The revisions of the schema for the company's warehouse."""
