"""For services: a client, credentials, and a FastAPI dependency."""
