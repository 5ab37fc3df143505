"""How good and how private a release is."""
