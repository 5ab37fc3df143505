"""Jobs that have others attest the log: its witnesses, and a timestamp authority."""
