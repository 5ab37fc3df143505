"""The offline verifier. It imports the standard library and `cryptography` only."""
