"""For developers of services: the gate's API, its OpenAPI description, a page to try it."""
