"""From private rows to a release: stages, checkpoints, provenance."""
