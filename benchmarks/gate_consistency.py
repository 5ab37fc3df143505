"""Counts permits after a withdrawal's receipt, in processes that are paused and killed at random.

python -m benchmarks gate_consistency          10^7 decisions on SQLite, as many on PostgreSQL
DECISIONS=100000000 python -m benchmarks gate_consistency
"""

import os
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.gate.linearizability import Place, run
from tests.postgres import server

WORKERS = 4
ASKED = 100  # questions that wait together when a gate asks the database of another host


def main() -> None:
    wanted = int(os.environ.get("DECISIONS", "10000000"))
    print(f"\nLinearizability: {WORKERS} gate processes, paused and killed, follow one writer")
    _judged("SQLite, one host: the epoch is in shared memory", wanted, "")
    with server() as address:
        _judged(f"PostgreSQL, many hosts: one epoch read for {ASKED} questions", wanted, address)


def _judged(title: str, wanted: int, address: str) -> None:
    start = time.perf_counter()
    with TemporaryDirectory() as home:
        place = Place(Path(home), address, asked=ASKED if address else 1)
        verdict = run(place, workers=WORKERS, decisions=wanted)
    seconds = time.perf_counter() - start
    print(f"  {title}")
    print(
        f"    decisions            {verdict.decisions:>12,}  {verdict.decisions / seconds:,.0f}/s"
    )
    print(f"    permits among them   {verdict.permits:>12,}")
    print(f"    grants, withdrawals  {verdict.acts:>12,}")
    print(f"    processes killed     {verdict.kills:>12,}")
    print(f"    unjustified          {verdict.wrong:>12,}")
    print(f"    permits after the receipt of a withdrawal {verdict.late}")
    print(f"    linearizable by the ledger sizes they name: {verdict.linearizable}")
