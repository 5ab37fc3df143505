"""Checks of stored data: one log, what was published of it, sealed events, keys, and each start."""
