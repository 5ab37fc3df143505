"""The revisions of the portal's schemas, one folder for each."""
