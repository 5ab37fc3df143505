"""The gate: data contracts, consent decisions, and their enforcement on every read."""
