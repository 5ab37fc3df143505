"""Current consent of all customers, packed into bits and kept up to date with the consent log."""
