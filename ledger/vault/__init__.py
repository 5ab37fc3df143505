"""Customers' data keys, the key that wraps them, salted commitments, and the erasure list."""
