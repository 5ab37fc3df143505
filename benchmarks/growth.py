"""How the cost of each operation grows with the number of customers.

    python -m benchmarks growth --customers 10000,100000,1000000 --folder /tmp/growth
    python -m benchmarks growth --customers 10000,100000,1000000 --folder /tmp/growth --kept

Makes a data directory for each size (benchmarks.growth_directory) once, and measures a copy of it:
a portal and a gate of its own in real processes over real sockets, commands as processes, jobs in
this process. For ten million customers, add 10000000: it takes hours and about 50 GB.

The slope is that between the smallest and the largest directory on logarithmic axes: 0 is flat, 1
is proportional. The last column extrapolates the last two sizes to ten million customers. `--kept`
prints what was measured earlier and is kept in the folder; `--parts served` or `--parts commands`
measures only that. A row appears when all sizes have it. Sizes may also be given as `CUSTOMERS` in
the environment. `--plot FILE` draws the processor times.
"""

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from math import log10
from pathlib import Path

from benchmarks import growth_commands, growth_plot, growth_served
from benchmarks.growth_clock import Costs
from benchmarks.growth_directory import directory
from benchmarks.ledger_root import load

SIZES = "10000,100000"
BEYOND = 10_000_000
PARTS = {"served": growth_served.measured, "commands": growth_commands.measured}


def main() -> None:
    options = _options()
    folder: Path = options.folder
    sizes = [int(each) for each in options.customers.split(",")]
    for size in sizes:
        if not (options.kept and _kept(folder, size).exists()):
            _measure(folder, size, options.parts.split(","))
    costs = [Costs.parse(_kept(folder, size).read_text("utf-8")) for size in sizes]
    print(f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, load {load()} at the end\n")
    print("\n".join(_table(sizes, costs)))
    if options.plot:
        options.plot.write_text(growth_plot.svg(sizes, costs), "utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks growth")
    kept = Path(tempfile.gettempdir(), "growth")
    sizes = os.environ.get("CUSTOMERS", SIZES)
    parser.add_argument("--customers", default=sizes, help="sizes, with commas between them")
    parser.add_argument("--folder", type=Path, default=kept, help="where directories are kept")
    parser.add_argument("--parts", default=",".join(PARTS), help="what to measure")
    parser.add_argument("--kept", action="store_true", help="measure only what was not yet")
    parser.add_argument(
        "--plot", type=Path, help="an SVG file to write, log-log, of processor time"
    )
    return parser.parse_args(sys.argv[sys.argv.index("growth") + 1 :])


def _kept(folder: Path, size: int) -> Path:
    return folder / f"customers-{size}.costs"


def _measure(folder: Path, size: int, parts: Sequence[str]) -> None:
    original, kept = directory(folder, size), _kept(folder, size)
    costs = Costs.parse(kept.read_text("utf-8")) if kept.exists() else Costs()
    copy = folder / f"measured-{size}"
    for each in parts:
        shutil.rmtree(copy, ignore_errors=True)
        home = shutil.copytree(original, copy / "data")
        sys.stderr.write(f"  {size:,} customers: {each}\n")
        PARTS[each](home, size, costs)
        kept.write_text(costs.text(), "utf-8")
    shutil.rmtree(copy)


def _table(sizes: Sequence[int], costs: Sequence[Costs]) -> Iterator[str]:
    head = "".join(f"{size:>13,}" for size in sizes)
    for kind, unit in (("processor", "milliseconds"), ("wall", "milliseconds")):
        yield f"  {f'{kind} time, {unit}, at so many customers':46}{head}{'slope':>8}{BEYOND:>14,}"
        for operation in costs[0].costs:
            if all(operation in each.costs for each in costs):
                yield _row(sizes, operation, [_ms(each, operation, kind) for each in costs])
        yield ""
    yield f"  {'megabytes at so many customers':46}{head}{'slope':>8}{BEYOND:>14,}"
    for part in [each for each in costs[0].bytes if all(each in other.bytes for other in costs)]:
        yield _row(sizes, part, [each.bytes[part] / 1e6 for each in costs])


def _ms(costs: Costs, operation: str, kind: str) -> float:
    cost = costs.costs[operation]
    return (cost.cpu_s if kind == "processor" else cost.wall_s) * 1e3


def _row(sizes: Sequence[int], name: str, figures: Sequence[float]) -> str:
    shown = "".join(f"{each:>13,.2f}" for each in figures)
    if len(sizes) < 2:
        return f"  {name:46}{shown}"
    last = _slope(sizes[-2:], figures[-2:])
    beyond = figures[-1] * (BEYOND / sizes[-1]) ** max(last, 0.0)
    return f"  {name:46}{shown}{_slope(sizes, figures):>8.2f}{beyond:>14,.0f}"


def _slope(sizes: Sequence[int], figures: Sequence[float]) -> float:
    lowest, highest = max(figures[0], 1e-3), max(figures[-1], 1e-3)
    return log10(highest / lowest) / log10(sizes[-1] / sizes[0])
