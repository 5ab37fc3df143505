import pytest
from hypothesis import settings

# Timings belong in benchmarks/: a slow machine must not fail a test.
settings.register_profile("project", deadline=None)
settings.load_profile("project")

LONGEST = ("test_story",)  # first, so that the other processes have work until they end


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda each: each.path.stem not in LONGEST)
