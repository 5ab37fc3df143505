"""Commands about logs and their keys."""
