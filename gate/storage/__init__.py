"""The tables of the gate and every statement that touches them: the read logs and the quotas."""
