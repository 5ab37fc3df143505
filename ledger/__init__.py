"""What was said, and all that a verifier needs."""
