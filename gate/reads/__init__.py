"""Reads of one customer, of many and of everybody: decide, fetch, log, answer."""
