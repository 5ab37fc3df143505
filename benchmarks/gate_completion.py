"""A table after three in ten have withdrawn: how far its segments are off, and how long it takes.

All customers of the demonstration, the shipped contract and the budget of one release. The peer is
the same table completed naively.
"""

from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory
from time import perf_counter

from portal.releases import DELTA, EPSILON
from tests.gate.completing import ask
from tests.gate.withdrawal import FIELDS, Bank, naively, withdrawn

KINDS = ("estimated", "kept", "kept")


def main() -> None:
    with TemporaryDirectory() as folder:
        bank = withdrawn(Path(folder), 1, (EPSILON, DELTA))
        print(f"\nTable of {bank.true.total():,} customers by {FIELDS}, three in ten withdrawn")
        naive = mean(bank.errors(naively(bank)))
        print(f"  {'naive':12}segments off by {naive:6.2%}")
        for kind in KINDS:
            _table(bank, kind)


def _table(bank: Bank, kind: str) -> None:
    start = perf_counter()
    answer = ask(bank.world, FIELDS)
    begun = perf_counter() - start
    rows = answer.table.num_rows
    whole = perf_counter() - start
    print(
        f"  {kind:12}segments off by {mean(bank.errors(answer)):6.2%}, begun after "
        f"{begun * 1000:5.0f} ms, {rows:,} rows after {whole * 1000:5.0f} ms"
    )
    print(f"  {'':12}it says {answer.error}")
