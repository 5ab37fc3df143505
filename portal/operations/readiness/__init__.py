"""Whether this process answers, and whether it should be sent requests: `/livez` and `/readyz`."""
