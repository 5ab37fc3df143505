"""What may be read: contracts, the decision, and its enforcement on every read."""
