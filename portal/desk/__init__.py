"""The steward's desk: cases, reviews, the health of contracts and agreements, a logged search."""
