"""Differentially private synthetic data, which is answered instead of personal data.

domain · marginals · budget    which values and group-bys are allowed, and their privacy cost
counts -> measure (noise)      personal counts in, noisy integers out
inference -> sample            noisy integers in, rows out; all of it is post-processing
fit -> release                 both steps together; a release's body is a public record
"""
