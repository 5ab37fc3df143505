"""Cases: what a change of consent asks of the company, by when, and what was done."""
