from hypothesis import settings

# Timings belong in benchmarks/: a slow machine must not fail a test.
settings.register_profile("project", deadline=None)
settings.load_profile("project")
