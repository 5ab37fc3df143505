"""One table a benchmark: figures, and the ratio of each to ours."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    per_s: float
    note: str = ""


def rate(work: Callable[[], object], units: int, rounds: int = ROUNDS) -> float:
    """Units a second: the median of some rounds, after one that does not count."""
    work()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return units / median(times)


def show(title: str, unit: str, rows: Sequence[Row]) -> None:
    """The first row is ours; the ratio says how many times as fast as each peer it is."""
    ours = rows[0].per_s
    print(f"\n{title}")
    print(f"  {'':42}{unit + '/s':>16}{'each':>12}{'ours is':>12}")
    for row in rows:
        ratio = "" if row is rows[0] else f"{ours / row.per_s:.3g} x"
        print(f"  {row.name:42}{row.per_s:>16,.0f}{_each(row.per_s):>12}{ratio:>12}  {row.note}")


def _each(per_s: float) -> str:
    seconds = 1 / per_s
    for scale, name in ((1, "s"), (1e3, "ms"), (1e6, "µs")):
        if seconds * scale >= 1:
            return f"{seconds * scale:.3g} {name}"
    return f"{seconds * 1e9:.3g} ns"
