"""Where a customer's data went: the map, the reads, and who has what. Pure view models."""
