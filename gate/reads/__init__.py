"""Data reads of one customer, of many, or of all: decide, fetch, log, answer."""
