"""The company's duties when consent changes: cases, notices, reviews, agreement health."""
