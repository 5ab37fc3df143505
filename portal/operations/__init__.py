"""The running product: settings, wiring, releases, erasure, mail."""
