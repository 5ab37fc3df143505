"""The decision on one customer and on all, and the limits around it."""
