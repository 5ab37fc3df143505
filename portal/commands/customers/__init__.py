"""Commands about customers: erase, export, import."""
