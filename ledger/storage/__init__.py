"""Databases that hold logs: the interface, SQLite and PostgreSQL."""
