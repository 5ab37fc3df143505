"""Check a read log: derive every decision again from the consent log."""
