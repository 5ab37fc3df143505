"""Fill a data directory with a small bank: `python -m tests.features.seeding HOME`.

Its customers are those of tests/features/numbers.py. One release (segmentation) is fitted, and one
system (`mobile-app`) delivers later than its contract promises. This is what `sovereign demo` does
for 45,211 customers in a minute; no command does it for a few, so this module imports the product.
No other module of this folder does.
"""

import sys
from datetime import UTC, datetime
from itertools import groupby, takewhile
from pathlib import Path

import duckdb

from portal.consent.wording import wording
from portal.demo import load
from portal.demo.sources import customers, deliveries, grants
from portal.operations import release_service
from portal.operations.settings import Settings
from portal.operations.wiring import open_product
from portal.web import i18n
from tests.bank import contracts
from tests.features.numbers import CUSTOMERS, GRANTING

LATE = "mobile-app"


def seed(home: Path) -> None:
    _customers(home / "customers.duckdb")
    product = open_product(Settings(data_dir=home, demo=True))
    shown = {scene.id: wording(scene, i18n.load()["en"]) for scene in product.scenes.values()}
    granted = takewhile(lambda each: each[0] <= f"c{GRANTING:05d}", grants.initial_grants())
    by_customer = groupby(granted, key=lambda each: each[0])
    product.ledger.record(
        [
            instruction
            for _, theirs in by_customer
            for instruction in load._instructions(product.ledger, theirs, shown)
        ]
    )
    product.gate.catch_up()
    at = datetime.now(UTC).replace(microsecond=0)
    release_service.release(product, product.scenes["segmentation"], at)


def _customers(database: Path) -> None:
    with duckdb.connect() as everybody:
        customers.load(everybody)
        everybody.execute(f"ATTACH '{database}' AS small")
        everybody.execute(
            f"CREATE TABLE small.customer AS FROM customer WHERE id <= 'c{CUSTOMERS:05d}'"
        )
    deliveries.record(database, contracts()[0], datetime.now(UTC))
    with duckdb.connect(database) as connection:
        connection.execute(
            "UPDATE delivery SET as_of = arrived - INTERVAL 3 HOUR WHERE system = ?", [LATE]
        )


if __name__ == "__main__":
    seed(Path(sys.argv[1]))
