"""The gate over HTTP: AuthZEN, the read API, access tokens."""
