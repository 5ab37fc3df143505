"""The read log: the format of its entries, its writer, and the lookup of a customer's entries."""
