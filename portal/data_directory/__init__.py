"""A data directory as a whole: what lies in it, whether it is intact, its backup and restore."""
