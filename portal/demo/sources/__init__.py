"""Makes the demonstration's rows: customers, their deliveries and their first grants."""
