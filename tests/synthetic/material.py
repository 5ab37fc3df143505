"""Real customers, small databases, and a repeatable noise that cannot publish."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any, cast

import ibis
import numpy as np

from synthetic.fitting.fit import fit
from synthetic.fitting.release import Release
from synthetic.model.domain import Categories, Domain, Numbers
from synthetic.privacy.mechanisms import Integers

ROOT = Path(__file__).parents[2]
AT = datetime(2026, 11, 21, 9, tzinfo=UTC)
LOSS = (1.0, 7e-6)

AGES = Numbers(18, 96, (25, 30, 35, 40, 45, 50, 55, 60, 65, 70))
BALANCES = Numbers(-10_000, 120_000, (-500, 0, 1, 100, 250, 500, 1000, 2000, 5000, 20_000))
MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
JOBS = [
    "admin.",
    "blue-collar",
    "entrepreneur",
    "housemaid",
    "management",
    "retired",
    "self-employed",
    "services",
    "student",
    "technician",
    "unemployed",
    "unknown",
]
BANK = Domain(
    {
        "age": AGES,
        "job": Categories(tuple(JOBS), "unknown"),
        "marital": Categories(("divorced", "married", "single"), "single"),
        "balance": BALANCES,
        "month": Categories(tuple(MONTHS), "may", ordered=True),
        "y": Categories(("no", "yes"), "no"),
    }
)
WORKLOAD = (("age", "job"), ("job", "y"), ("month", "y"), ("age", "marital"))


class RepeatableNoise:
    """For tests that compare two fits. Never publishable."""

    publishable = False

    def __init__(self, seed: int) -> None:
        self._generator = np.random.default_rng(seed)

    def nonce(self) -> str:
        return self._generator.bytes(16).hex()

    def laplace(self, counts: Integers, sensitivity: int, epsilon: Fraction) -> Integers:
        p = 1 - np.exp(-float(epsilon) / sensitivity)
        both = self._generator.geometric(p, (2, *counts.shape))
        noisy: Integers = counts + both[0] - both[1]
        return noisy

    def gaussian(self, counts: Integers, sigma: Fraction) -> Integers:
        noisy = counts + self._generator.normal(0.0, float(sigma), counts.shape)
        return np.rint(noisy).astype(np.int64)


class Seeded(RepeatableNoise):
    """The same noise in every run, so that no bound is missed by chance."""

    publishable = True  # what the tests make is announced


def bank_path() -> Path:
    return ROOT / "portal" / "demo" / "sources" / "bank.csv.gz"


def bank(connection: Any = None) -> Any:
    return (connection or ibis.duckdb.connect()).read_csv(bank_path(), types={"y": "varchar"})


@cache
def bank_release() -> Release:
    """One graphical release of everybody in BANK, fitted once per test run. Immutable."""
    given: dict[str, Any] = {"domain": BANK, "workload": WORKLOAD, "loss": LOSS}
    given |= {"noise": Seeded(1)}
    return fit(bank(), scene="segmentation", at=AT, ledger_size=7, **given)


def table(columns: Mapping[str, Sequence[Any]], schema: Mapping[str, str]) -> Any:
    connection = ibis.duckdb.connect()
    rows = {name: list(values) for name, values in columns.items()}
    import pyarrow as pa

    data = pa.table(
        {n: pa.array(v, type=pa.type_for_alias(cast("Any", schema[n]))) for n, v in rows.items()}
    )
    connection.con.register("customers", data)
    return connection.table("customers")
