"""The steward's duties that follow from a change of consent: notices, reviews, health."""
