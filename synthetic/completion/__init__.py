"""Synthetic rows in place of customers who are missing from a table."""
