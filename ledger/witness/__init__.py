"""Witnesses (C2SP tlog-witness): the server, the client that asks them, and what they cosigned."""
