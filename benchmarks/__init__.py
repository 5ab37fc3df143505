"""Benchmarks that measure the product and its peers in the same run: `python -m benchmarks`."""
