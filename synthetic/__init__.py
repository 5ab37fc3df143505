"""What is answered instead of personal data: differentially private releases and their samples.

domain · marginal · budget     what may be said, which group-bys, at what cost
counts -> measure (noise)      personal counts in, noisy integers out
model -> sample                noisy integers in, rows out; all post-processing
fit -> release                 the two put together; a release's body is a public record
"""
