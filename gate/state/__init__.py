"""Customers' consent as bits that follow the consent log."""
