"""The signing keys of the logs, and their rotation."""
