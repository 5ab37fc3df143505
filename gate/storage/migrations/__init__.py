"""The revisions of the gate's schemas, one folder for each."""
