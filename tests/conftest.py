import gc
from collections.abc import Iterator
from functools import cache

import pytest
from hypothesis import settings
from typer import testing

from tests import campaign, chance, postgres, read_once

# Timings belong in benchmarks/: a slow machine must not fail a test.
settings.register_profile("sample", deadline=None, max_examples=30, derandomize=True)
settings.register_profile("full", deadline=None, max_examples=300)

# They take longest, and the other processes have work until they end.
FIRST = (
    "test_random_day",
    "test_site_kills",
    "test_story",
    "test_backup",
    "test_own_reads",
    "test_hand",
    "test_hand_looks",
    "test_looks",
    "test_command",
    "test_jobs",
    "test_crm",
    "test_authzen_payloads",
    "test_edited_logs",
    "test_change_feed",
)


gc.disable()  # until everything is loaded: see pytest_collection_finish


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--prove", action="store_true", help="campaigns only, at their full sizes")
    parser.addoption(
        "--without-servers", action="store_true", help="no test that needs Chromium or PostgreSQL"
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("prove"):
        campaign.run_in_full()
    settings.load_profile("full" if config.getoption("prove") else "sample")
    read_once.install()
    testing._get_command = cache(testing._get_command)  # type: ignore[attr-defined] # 60 commands


@pytest.fixture(scope="session")
def address() -> Iterator[str]:
    """A PostgreSQL server of this process's own. Tests make databases of their own in it."""
    with postgres.server() as running:
        yield running


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    belongs = _is_large if config.getoption("prove") else _is_small
    chosen = [each for each in items if belongs(each)]
    if config.getoption("without_servers"):
        chosen = [each for each in chosen if not _needs_a_server(each)]
    if left := {*items} - {*chosen}:
        config.hook.pytest_deselected(items=[*left])
    items[:] = sorted(chosen, key=lambda each: each.path.stem not in FIRST)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    if not item.config.getoption("prove"):
        chance.seed(item.nodeid)


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
    return "browser" in item.path.parts or bool({"address", "postgres"} & {*fixtures}) or named


def pytest_collection_finish(session: pytest.Session) -> None:
    """Leave what is loaded now out of the garbage collector's rounds, of which there are many."""
    gc.collect()
    gc.freeze()
    gc.enable()
