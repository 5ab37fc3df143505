"""The consent log: what customers authorised, kept encrypted, provable and erasable."""
