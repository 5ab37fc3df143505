"""The steward's tables: cases with their outbox, the register, and the history of health."""
