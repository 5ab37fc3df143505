"""The sovereignty centre: what a customer allows, what happened with it, and how to check."""
