"""The revisions of the tables of a witness."""
