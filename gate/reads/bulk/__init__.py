"""Reads of many customers: tables, rows, and counts for anonymous statistics."""
