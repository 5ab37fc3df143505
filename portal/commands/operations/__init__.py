"""Commands about the process and the machine that serve a data directory."""
