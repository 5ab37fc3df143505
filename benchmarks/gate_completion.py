"""Completion of tables with many missing customers: the error of segment counts, and the time.

It uses all customers of the demonstration, the shipped contract and the budget of one release, and
compares with the same table completed naively. The anchor counted customers who withdrew later, but
not those who never agreed; the answer's error bar includes the latter.
"""

from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory
from time import perf_counter

from portal.configuration.privacy_limits import PrivacyLimits
from tests.gate.completing import ask
from tests.gate.withdrawal import FIELDS, SCENE, Bank, naively, never_agreed, withdrawn

KINDS = ("estimated", "kept", "kept")


def main() -> None:
    for why, made in (
        ("three in ten withdrawn", withdrawn),
        ("as they agreed at first", never_agreed),
    ):
        with TemporaryDirectory() as folder:
            bank = made(Path(folder), 1, (PrivacyLimits().epsilon, PrivacyLimits().delta))
            print(f"\nTable of {bank.true.total():,} customers by {FIELDS}, {why}")
            naive = mean(bank.errors(naively(bank)))
            print(f"  {'naive':12}segments off by {naive:6.2%}")
            for fields in (FIELDS, tuple(SCENE.fields)):
                print(f"  {len(fields)} fields asked for")
                for kind in KINDS:
                    _table(bank, kind, fields)


def _table(bank: Bank, kind: str, fields: tuple[str, ...]) -> None:
    start = perf_counter()
    answer = ask(bank.world, fields)
    begun = perf_counter() - start
    rows = answer.table.num_rows
    whole = perf_counter() - start
    print(
        f"  {kind:12}segments off by {mean(bank.errors(answer)):6.2%}, begun after "
        f"{begun * 1000:5.0f} ms, {rows:,} rows after {whole * 1000:5.0f} ms"
    )
    print(f"  {'':12}it says {answer.error}")
