"""The gate's HTTP API: AuthZEN, data reads, access tokens."""
