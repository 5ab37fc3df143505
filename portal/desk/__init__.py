"""The steward's desk: cases, reviews, health of contracts and agreements, logged searches."""
