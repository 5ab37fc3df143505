"""For services: credentials of a key for `sovereign_client`, and a FastAPI dependency."""
