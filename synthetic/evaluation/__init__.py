"""Evaluation of a release: errors, utility, and an audit of its noise."""
