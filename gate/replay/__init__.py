"""Checks a read log by deriving every decision again from the consent log."""
