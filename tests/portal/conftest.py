"""A small bank: sixty real customers, a real ledger, the real gate, and a clock that can be set."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from pathlib import Path

import duckdb
import pytest
from starlette.testclient import TestClient

from ledger.event import Evidence, Granted
from portal.app import create_app
from portal.customer import wording
from portal.demo import customers, grants
from portal.product import Product, open_product
from portal.settings import Settings

CUSTOMERS = 60
LAST = f"c{CUSTOMERS:05d}"
START = datetime(2026, 11, 21, 12, tzinfo=UTC)


@dataclass
class Clock:
    now: datetime = START

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **by: float) -> None:
        self.now += timedelta(**by)


@pytest.fixture(scope="session")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bank") / "customers.duckdb"
    with duckdb.connect() as everybody:
        customers.load(everybody)
        everybody.execute(f"ATTACH '{path}' AS small")
        everybody.execute(f"CREATE TABLE small.customer AS FROM customer WHERE id <= '{LAST}'")
    return path


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def product(tmp_path: Path, bank: Path) -> Product:
    """A product of its own for each test, with the demonstration's grants, three days old."""
    shutil.copy(bank, tmp_path / "customers.duckdb")
    product = open_product(Settings(data_dir=tmp_path, demo=True))
    granted = takewhile(lambda grant: grant[0] <= LAST, grants.initial_grants())
    at = START - timedelta(days=3)
    for subject, scene, fields in granted:
        said = wording.wording(product.scenes[scene], "en")
        act = Granted(scene, fields, None)
        draft = product.ledger.draft(subject, act, at=at, wording=said, evidence=Evidence.IMPORTED)
        product.ledger.record([draft])
    return product


@pytest.fixture
def visitor(product: Product, clock: Clock) -> Iterator[TestClient]:
    """Somebody who is not signed in. Requests come from our own pages and want pages."""
    with browser(product, clock) as client:
        yield client


@pytest.fixture
def customer(visitor: TestClient) -> TestClient:
    """Customer c00007, signed in."""
    return sign_in(visitor, "c00007")


def browser(product: Product, clock: Clock) -> TestClient:
    headers = {"Sec-Fetch-Site": "same-origin", "Accept": "text/html", "Accept-Language": "en"}
    app = create_app(product, clock)
    return TestClient(app, headers=headers, raise_server_exceptions=False)


def sign_in(client: TestClient, subject: str) -> TestClient:
    answer = client.post("/login", data={"customer": subject}, follow_redirects=False)
    assert answer.status_code == 303, answer.text
    return client
