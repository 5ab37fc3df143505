"""Contracts over time: versions, publication, changes between them, and their health."""
