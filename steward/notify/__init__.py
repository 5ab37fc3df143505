"""Notices to responsible people and their delivery: outbox, webhooks, mail."""
