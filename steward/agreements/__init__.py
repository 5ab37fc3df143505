"""Customers' agreements over time: health figures, stability, reminders."""
