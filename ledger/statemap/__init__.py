"""The verifiable map of customers' latest states, the log of its roots, state proofs, audits."""
