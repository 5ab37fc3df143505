"""Transparency logs as C2SP and RFC 6962 define them: trees, tiles, checkpoints, signed notes."""
