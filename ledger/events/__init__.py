"""What an entry of the consent log records, who may sign it, and the state it leads to."""
