"""The demonstration bank: real customer columns, generated contact data, generated grants."""
