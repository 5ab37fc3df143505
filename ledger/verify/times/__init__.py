"""When entries of a log were made, as witnesses and timestamp authorities attest it. Offline."""
