"""A small bank: sixty real customers, a real ledger, the real gate, and a clock that can be set."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from pathlib import Path
from typing import Any

import duckdb
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from ledger import clock as clocks
from ledger.events.envelope import EvidenceClass, Granted, Instruction
from ledger.service import Ledger
from portal.app import create_app
from portal.consent import wording
from portal.demo.sources import customers, grants
from portal.operations.settings import Settings
from portal.operations.wiring import Product, open_product
from portal.web import i18n
from tests.bank import bank, contracts

CUSTOMERS = 60
LAST = f"c{CUSTOMERS:05d}"
SAID = "c00012"  # the last one who ever said anything
START = datetime(2026, 11, 21, 12, tzinfo=UTC)


@dataclass
class Clock:
    now: datetime = START

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **by: float) -> None:
        self.now += timedelta(**by)


_still_clock = Clock()  # of the application of `still`; each test sets it to START


@pytest.fixture(scope="session")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory to be copied for each product."""
    return seed(tmp_path_factory.mktemp("seeded"))


@pytest.fixture
def clock(request: pytest.FixtureRequest) -> Clock:
    if "still" in request.fixturenames:
        _still_clock.now = START
        return _still_clock
    return Clock()


@pytest.fixture(scope="session")
def still(seeded: Path, tmp_path_factory: pytest.TempPathFactory) -> Product:
    """A product that tests share because they record nothing in it."""
    return copy(seeded, tmp_path_factory.mktemp("still") / "home")


@pytest.fixture
def product(request: pytest.FixtureRequest, seeded: Path, tmp_path: Path) -> Product:
    """A product of its own for each test, unless the test uses `still`."""
    if "still" in request.fixturenames:
        shared: Product = request.getfixturevalue("still")
        return shared
    return copy(seeded, tmp_path / "home")


@pytest.fixture(scope="session")
def still_app(still: Product) -> FastAPI:
    """The application over `still`: building one takes as long as ten pages."""
    return create_app(still, _still_clock)


@pytest.fixture
def visitor(request: pytest.FixtureRequest, product: Product, clock: Clock) -> Iterator[TestClient]:
    """Somebody who is not signed in. Requests come from our own pages and want pages."""
    shared = "still" in request.fixturenames
    app = request.getfixturevalue("still_app") if shared else None
    with browser(product, clock, app) as client:
        yield client


@pytest.fixture
def customer(visitor: TestClient) -> TestClient:
    """Customer c00007, signed in."""
    return sign_in(visitor, "c00007")


def browser(product: Product, clock: Clock, app: Any = None) -> TestClient:
    """`app`: the same server for a second browser."""
    headers = {"Sec-Fetch-Site": "same-origin", "Accept": "text/html", "Accept-Language": "en"}
    return TestClient(
        app or create_app(product, clock), headers=headers, raise_server_exceptions=False
    )


def sign_in(client: TestClient, subject: str) -> TestClient:
    answer = client.post("/login", data={"customer": subject}, follow_redirects=False)
    assert answer.status_code == 303, answer.text
    return client


def seed(home: Path, now: datetime = START) -> Path:
    """Fill `home` with sixty customers. Grants of a few of them are three days old at `now`."""
    with duckdb.connect() as everybody:
        customers.load(everybody)
        everybody.execute(f"ATTACH '{home / 'customers.duckdb'}' AS small")
        everybody.execute(f"CREATE TABLE small.customer AS FROM customer WHERE id <= '{LAST}'")
    ledger = Ledger.open(home, origin=bank().origin)
    ledger.record(_first_grants(ledger, now - timedelta(days=3)))
    ledger.close()
    return home


def _first_grants(ledger: Ledger, at: datetime) -> list[Instruction]:
    _, scenes = contracts()
    latest: dict[str, Instruction] = {}
    drafts: list[Instruction] = []
    for subject, scene, fields in takewhile(lambda each: each[0] <= SAID, grants.initial_grants()):
        act, said = Granted(scene, fields, None), wording.wording(scenes[scene], i18n.load()["en"])
        drafts.append(
            latest[subject].next(act, at=at, wording=said)
            if subject in latest
            else ledger.draft(subject, act, at=at, wording=said, evidence=EvidenceClass.IMPORTED)
        )
        latest[subject] = drafts[-1]
    return drafts


def copy(seeded: Path, home: Path, **settings: Any) -> Product:
    """A product over a copy of `seeded`; the demonstration, unless the settings say otherwise."""
    shutil.copytree(seeded, home)
    chosen: dict[str, Any] = {"data_dir": home, "demo": True} | settings
    return open_product(Settings(**chosen))


def allow(product: Product, subject: str, scene: str) -> None:
    """Record a grant of the whole scene, given now by the clock of this machine."""
    act = Granted(scene, (*product.scenes[scene].fields,), None)
    shown = wording.wording(product.scenes[scene], i18n.load()["en"])
    product.ledger.record([product.ledger.draft(subject, act, at=clocks.now(), wording=shown)])
