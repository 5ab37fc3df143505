"""The demonstration bank: real customer columns, generated contact items, generated grants."""
