"""Routes of the sovereignty centre: choices, history, reads, receipts, keys, leaving."""
