"""Notices and how they reach their recipients: webhooks, mail, an outbox."""
