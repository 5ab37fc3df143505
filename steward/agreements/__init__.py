"""Customers' agreements over time: health, stability, reminders."""
