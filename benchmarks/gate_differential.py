"""Compares the plan, full Cedar and the definitional model on random cases.

python -m benchmarks gate_differential           10^6 (policy, state, request) triples
TRIPLES=100000000 SEED=2 python -m benchmarks gate_differential
"""

import os
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import count, islice

from tests.gate.differential import Result, run

SHARE = 20_000  # triples of one seed


def main() -> None:
    wanted = int(os.environ.get("TRIPLES", "1000000"))
    seeds = islice(count(int(os.environ.get("SEED", "1"))), -(-wanted // SHARE))
    processes = os.cpu_count() or 1
    start = time.perf_counter()
    with ProcessPoolExecutor(processes) as pool:
        found = sum(pool.map(partial(run, SHARE), seeds), Result())
    seconds = time.perf_counter() - start
    print(f"\nPlan, full Cedar and the model of specs/model, in {processes} processes")
    print(f"  triples         {found.triples:>12,}  {found.triples / seconds:,.0f}/s")
    print(f"  permitted       {found.permitted:>12,}")
    print(f"  under policies that make mistakes {found.mistaken:,}")
    print(f"  mismatches      {len(found.mismatches):>12,}")
    for each in found.mismatches[:5]:
        print(f"    {each}")
