"""G202 to G205 and G207: the served product under more than it can hold."""

import resource
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress

import httpx
import pytest

from tests.campaign import sized
from tests.features.served import PATIENCE_S, Installed, Site

SCENE, SERVICE = "contract-service", "customer-care"
FILES = 300  # that the process may open
HALF_OPEN, IDLE, TABLES = sized(300, 1500), sized(300, 900), sized(20, 50)
HELD_S = sized(2, 60)  # seconds for which they are held
BOUND_S = 10.0  # for one answer meanwhile, on a busy machine


class WithFewFiles(Installed):
    """The product in a process that may open few files."""

    @property
    def sovereign(self) -> list[str]:
        limited = f'ulimit -n {FILES} && exec "$0" "$@"'
        return ["sh", "-c", limited, *super().sovereign]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    home = tmp_path_factory.mktemp("overload")
    made = "import duckdb, sys; duckdb.connect(sys.argv[1]).execute(sys.argv[2])"
    rows = (
        "CREATE TABLE customer AS SELECT format('c{:05d}', i) AS id, i % 90 AS balance"
        " FROM range(20000) people(i)"
    )
    few = WithFewFiles()
    subprocess.run([few.python, "-c", made, home / "customers.duckdb", rows], check=True)
    with Site(home, home / "server.log", few).serving() as served:
        yield served


def _read(site: Site, customer: int = 7) -> dict[str, object]:
    return site.read(SERVICE, SCENE, f"c{customer:05d}", "balance")


def _port(site: Site) -> int:
    return int(site.address.rpartition(":")[2])


@contextmanager
def _opened(site: Site, number: int, begun: bytes) -> Iterator[list[socket.socket]]:
    _allow_files()
    with ExitStack() as open_:
        yield [open_.enter_context(_connected(_port(site), begun)) for _ in range(number)]


def _connected(port: int, begun: bytes) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
    with suppress(ConnectionError):  # it was closed for another one
        client.sendall(begun)
    return client


def _allow_files() -> None:
    soft, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * (HALF_OPEN + IDLE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        room = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
        resource.setrlimit(resource.RLIMIT_NOFILE, (room, most))


pytestmark = pytest.mark.campaign
BEGUN = {
    "half-open heads": (HALF_OPEN, b"POST /v1/read HTTP/1.1\r\nHost: ga"),
    "idle connections": (IDLE, b"GET /healthz HTTP/1.1\r\nHost: gate\r\n\r\n"),
    "silent connections": (HALF_OPEN, b""),
}


@pytest.mark.parametrize("why", BEGUN)
def test_others_are_served_beside_connections_that_ask_nothing(site: Site, why: str) -> None:
    number, begun = BEGUN[why]
    assert number >= FILES
    with _opened(site, number, begun), httpx.Client() as page:
        until = time.monotonic() + HELD_S
        while time.monotonic() < until:
            began = time.monotonic()
            assert _read(site)["fields"] == {"balance": {"value": 7, "view": "personal"}}
            assert page.get(site.address, timeout=BOUND_S).status_code == 200
            assert time.monotonic() - began < BOUND_S
    said = site.log.read_text("utf-8")
    assert "Traceback" not in said
    assert said.count("no connection is accepted") <= 2 + HELD_S


def test_tables_do_not_hold_up_reads_of_one_customer(site: Site) -> None:
    """G207."""
    body = {"scene": SCENE, "fields": ["balance"]}
    with ThreadPoolExecutor(TABLES) as threads:
        tables = [threads.submit(site.ask, SERVICE, "/v1/rows", body, "*/*") for _ in range(TABLES)]
        worst, reads = 0.0, 0
        while not all(each.done() for each in tables):
            began = time.monotonic()
            _read(site, reads % 90)
            worst, reads = max(worst, time.monotonic() - began), reads + 1
        answers = [each.result() for each in tables]
    assert reads > 0
    assert worst < BOUND_S
    assert {each.status_code for each in answers} <= {200, 503}
    assert sum(each.status_code == 200 for each in answers) >= min(TABLES, 20)
    for each in answers:
        if each.status_code == 503:  # the others were told at once
            assert each.headers["retry-after"] == "1"
