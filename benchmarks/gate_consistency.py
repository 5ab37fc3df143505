"""Permits after a withdrawal's receipt, in many processes that are paused and killed at random.

python -m benchmarks gate_consistency            10^7 decisions
DECISIONS=100000000 python -m benchmarks gate_consistency
"""

import os
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.gate.linearizability import run

WORKERS = 4


def main() -> None:
    wanted = int(os.environ.get("DECISIONS", "10000000"))
    start = time.perf_counter()
    with TemporaryDirectory() as home:
        verdict = run(Path(home), workers=WORKERS, decisions=wanted)
    seconds = time.perf_counter() - start
    print(f"\nLinearizability, {WORKERS} gate processes following one writer on SQLite")
    print(
        f"  decisions            {verdict.decisions:>12,}  ({verdict.decisions / seconds:,.0f}/s)"
    )
    print(f"  permits among them   {verdict.permits:>12,}")
    print(f"  grants, withdrawals  {verdict.acts:>12,}")
    print(f"  processes killed     {verdict.kills:>12,}")
    print(f"  unjustified          {verdict.wrong:>12,}")
    print(f"  permits after the receipt of a withdrawal: {verdict.late}")
