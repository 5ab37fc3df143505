"""Cases: what the company must do after a change of consent, by when, and what it did."""
