from functools import cache

import pytest
from hypothesis import settings

from gate.policy import cedar
from tests import campaign

# Timings belong in benchmarks/: a slow machine must not fail a test.
settings.register_profile("sample", deadline=None, max_examples=30, derandomize=True)
settings.register_profile("full", deadline=None, max_examples=300)

FIRST = ("test_story",)  # it takes longest, and the other processes have work until it ends


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--prove", action="store_true", help="campaigns only, at their full sizes")
    parser.addoption(
        "--without-servers", action="store_true", help="no test that needs Chromium or PostgreSQL"
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("prove"):
        campaign.run_in_full()
    settings.load_profile("full" if config.getoption("prove") else "sample")
    # Each process of the suite opens hundreds of products on one policy, and checking it takes two
    # processes more: what passed once is not checked again. A refusal is never kept.
    cedar._validate_elsewhere = cache(cedar._validate_elsewhere)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    belongs = _is_large if config.getoption("prove") else _is_small
    chosen = [each for each in items if belongs(each)]
    if config.getoption("without_servers"):
        chosen = [each for each in chosen if not _needs_a_server(each)]
    if left := {*items} - {*chosen}:
        config.hook.pytest_deselected(items=[*left])
    items[:] = sorted(chosen, key=lambda each: each.path.stem not in FIRST)


def _is_small(item: pytest.Item) -> bool:
    return item.get_closest_marker("prove") is None


def _is_large(item: pytest.Item) -> bool:
    sized = item.get_closest_marker("campaign") or item.get_closest_marker("prove")
    made = getattr(item, "obj", None)
    return bool(sized or getattr(made, "is_hypothesis_test", False))


def _needs_a_server(item: pytest.Item) -> bool:
    """Chromium and PostgreSQL keep their own time, or do not start under another."""
    fixtures = getattr(item, "fixturenames", ())
    named = any(each in item.name for each in ("postgres", "Chromium"))
    return "browser" in item.path.parts or "address" in fixtures or named
