"""17.7 to 17.9: replicas are restarted and killed under load, and nothing acknowledged is lost."""

import shutil
import signal
from collections.abc import Iterator

import pytest

from tests.deploy.fleet import Fleet, Replica, running
from tests.deploy.load import Deciding, another_round, deciding, recorded
from tests.features import postgres
from tests.features.conftest import _run, prepared
from tests.features.postgres import Postgres
from tests.features.served import done, wait_for

KILLS = 3
CUSTOMERS = (f"c{number:05d}" for number in range(250, 260))  # one for each test

pytestmark = pytest.mark.skipif(not shutil.which("nginx"), reason="wants nginx")


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with postgres.running() as made:
        yield made


@pytest.fixture(scope="module")
def fleet(server: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    folder = tmp_path_factory.mktemp("fleet")
    home = folder / "data"
    home.mkdir()
    shutil.copy(prepared(_run(tmp_path_factory)) / "customers.duckdb", home)
    settings = {
        "SOVEREIGN_DATABASE": server.create(),
        "SOVEREIGN_VAULT_DATABASE": server.create(),
    }
    with running(home, settings) as made:
        yield made


@pytest.fixture
def busy(fleet: Fleet) -> Iterator[Deciding]:
    """A customer who decides all the time; afterwards nothing that they decided is missing."""
    with deciding(fleet, next(CUSTOMERS)) as made:
        another_round(made)
        yield made
        another_round(made)
        made.end()
        assert made.wrong == []
        assert made.read_after_receipt
        assert recorded(made) >= len(made.acknowledged)  # one may be recorded and its answer lost


def restarted(fleet: Fleet, each: Replica) -> None:
    each.end()
    each.start()
    if each in fleet.portals:
        fleet.serving()
    else:
        wait_for(each.answers, "answer of the gate")


def test_17_7_replicas_are_restarted_one_after_the_other(fleet: Fleet, busy: Deciding) -> None:
    for each in (*fleet.portals, *fleet.gates):
        restarted(fleet, each)
        another_round(busy)


def test_17_8_the_portal_that_stands_by_takes_over_from_one_that_was_killed(
    fleet: Fleet, busy: Deciding, request: pytest.FixtureRequest
) -> None:
    kills = 50 if request.config.getoption("--prove") else KILLS
    for _ in range(kills):
        serving, _other = fleet.serving()
        serving.end(signal.SIGKILL)
        serving.start()
        another_round(busy)


def test_17_9_all_go_on_after_the_database_was_restarted(
    fleet: Fleet, busy: Deciding, server: Postgres
) -> None:
    with server.stopped():
        wait_for(lambda: busy.unanswered, "request that nobody could answer")
    another_round(busy)
    fleet.serving()


def test_17_8_every_read_of_the_fleet_is_justified_afterwards(fleet: Fleet) -> None:
    home = fleet.portals[0].words[-1]
    assert "0 differ" in done("replay", "--data-dir", home)
