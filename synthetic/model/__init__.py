"""Domains, marginals and the graphical model that explains noisy measurements."""
