"""The read log: what an entry holds, how it is written, and how a customer's entries are found."""
