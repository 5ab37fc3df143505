"""Privacy budgets: exact loss, accounting, the public budget ledger, and noise mechanisms."""
