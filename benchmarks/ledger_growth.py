"""How each cost grows with the log, from ten thousand entries to a million or ten million.

    python -m benchmarks ledger_growth
    LARGEST=10000000 python -m benchmarks ledger_growth

One log, one map and one published folder grow; every operation is measured at each size. The table
is printed and written to docs/figures/ledger_growth.txt, with a chart next to it. Peers: the root
in merkletools after one more entry (it rebuilds its tree), and an append and an inclusion proof in
pymerkle, if PEERS has it.
"""

import os
import random
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from math import log10
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.ledger_root import load, pymerkle, quiet
from ledger.events import envelope
from ledger.events.envelope import SubjectErased
from ledger.statemap.verifiable_map import MapChange, StateMap
from ledger.tlog import auditor, mldsa, signed_note
from ledger.tlog.checkpoint import Checkpoint
from ledger.tlog.fetcher import DirectorySource
from ledger.tlog.writer import Log
from ledger.vault import commitments
from ledger.verify import receipt
from ledger.verify.receipt import Receipt

ORIGIN = "bench.example/log"
LARGEST = int(os.environ.get("LARGEST", "1000000"))
SIZES = [size for size in (10_000, 100_000, 1_000_000, 10_000_000) if size <= LARGEST]
BATCH = 1_000
AT_ONCE = 50_000  # entries, while it grows
ROUNDS = 9
PEERS_UP_TO = 100_000  # merkletools takes a second for each 100,000, each time
FIGURES = Path(__file__).parents[1] / "docs/figures"
ENTRY = commitments.public_entry(envelope.encode(SubjectErased(datetime(2026, 1, 1, tzinfo=UTC))))
COLOURS = ("#0b6e99", "#b3541e", "#3f7d20", "#7b3f9e", "#a8323e", "#6b6b00", "#00776b", "#555555")


@dataclass(frozen=True)
class Row:
    """One operation: its cost at each size that was measured."""

    name: str
    unit: str
    costs: list[float | None]

    @property
    def drawn(self) -> bool:
        return self.unit == "µs"


class House:
    """A log, a map and a published folder that grow together."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.signers = signed_note.generate(ORIGIN), mldsa.generate(ORIGIN)
        self.keys = [each.verifier for each in self.signers]
        self.log = Log.open(home / "log.sqlite", ORIGIN, *self.signers)
        self.buckets: dict[int, bytes] = {}
        self.map = StateMap({}, lambda numbers: {n: self.buckets[n] for n in numbers})
        self.published: str | None = None

    def grow(self, size: int) -> None:
        while (left := size - self.log.size) > 0:
            first, count = self.log.size, min(left, AT_ONCE)
            self.log.append([ENTRY] * count)
            self.put(range(first, first + count), b"first")

    def put(self, customers: range, said: bytes) -> MapChange:
        value = sha256(said).digest()
        change = self.map.change({_label(each): value for each in customers})
        self.buckets.update(change.buckets)
        self.map.apply(change)
        return change


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        house, rows = House(Path(name)), dict[str, Row]()
        for position, size in enumerate(SIZES):
            house.grow(size)
            _progress(f"measuring at {size:,} entries")
            for label, unit, cost in (*_measured(house), *_peers(size)):
                row = rows.setdefault(label, Row(label, unit, [None] * len(SIZES)))
                row.costs[position] = cost
        house.log.close()
    _show([*rows.values()])


def _measured(house: House) -> Iterator[tuple[str, str, float]]:
    """Each cost at the size that the log has now. Appends come last: they change it."""
    log, size = house.log, house.log.size
    pick = random.Random(size)
    yield "inclusion proof, made", "µs", _us(lambda: log.prove_inclusion(pick.randrange(size)))
    yield (
        "consistency proof, made",
        "µs",
        _us(lambda: log.prove_consistency(pick.randrange(1, size))),
    )
    yield "checkpoint, signed with both keys", "µs", _us(lambda: _signed(house))
    held = receipt.parse(_receipt(house, pick.randrange(size)))
    yield "receipt, verified with both keys", "µs", _us(lambda: receipt.verify(held, house.keys))
    yield "receipt", "bytes", len(str(held).encode())
    exported = _seconds(lambda: log.export(house.home / "log"))
    yield "publication of what is new", "s", exported
    audited = median(_seconds(lambda: _audit(house)) for _ in range(3))
    yield "audit, an entry", "µs", audited / size * 1e6
    yield "database, an entry", "bytes", _stored(house.home / "log.sqlite") / size
    yield "published files, an entry", "bytes", _published(house.home / "log") / size
    yield "map proof, made", "µs", _us(lambda: house.map.prove(_label(pick.randrange(size))))
    yield "map proof", "bytes", len(bytes(house.map.prove(_label(7))))
    batch = range(0, size, max(1, size // BATCH))
    updated = _us(lambda: house.put(batch, os.urandom(8)))
    yield f"map update, one of {BATCH:,}", "µs", updated / len(batch)
    yield (
        f"append, one of {BATCH:,}, durable",
        "µs",
        _us(lambda: log.append([ENTRY] * BATCH)) / BATCH,
    )


def _signed(house: House) -> object:
    return signed_note.sign(str(Checkpoint(ORIGIN, house.log.size, bytes(32))), house.signers)


def _receipt(house: House, index: int) -> str:
    said: dict[str, Any] = {"event": commitments.parse(ENTRY[1:])}
    path = tuple(house.log.prove_inclusion(index))
    return str(Receipt(index, path, signed_note.parse(house.log.checkpoint()), said))


def _audit(house: House) -> None:
    trust = auditor.KeyDemand(house.keys)
    if not auditor.audit(DirectorySource(house.home / "log"), trust).clean:
        raise AssertionError("the audit has findings")


def _stored(database: Path) -> int:
    with sqlite3.connect(database) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return database.stat().st_size


def _published(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _peers(size: int) -> Iterator[tuple[str, str, float]]:
    if size > PEERS_UP_TO:
        return
    yield "merkletools: a root after one more entry", "µs", _merkletools(size)
    if (peer := pymerkle()) is None:
        return
    other = peer.InmemoryTree(algorithm="sha256")
    for _ in range(size):
        other.append_entry(ENTRY)
    yield "pymerkle: inclusion proof, made", "µs", _us(lambda: other.prove_inclusion(size // 3))
    yield "pymerkle: append and root, in memory", "µs", _us(lambda: _appended(other))


def _appended(other: Any) -> None:
    other.append_entry(ENTRY)
    other.get_root()


def _merkletools(size: int) -> float:
    import merkletools

    with quiet():
        other = merkletools.MerkleTools()
        other.add_leaf([sha256(b"\0%d" % each).hexdigest() for each in range(size)])
        return _seconds(other.make_tree) * 1e6


def _label(number: int) -> bytes:
    return sha256(b"%d" % number).digest()


def _us(work: Callable[[], object]) -> float:
    """Microseconds: the median of some rounds, after one that does not count."""
    work()
    return median(_seconds(work) for _ in range(ROUNDS)) * 1e6


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _progress(told: str) -> None:
    sys.stderr.write(f"  {told}\n")


def _show(rows: Sequence[Row]) -> None:
    lines = _lines(rows)
    print("\n" + "\n".join(lines))
    FIGURES.mkdir(exist_ok=True)
    (FIGURES / "ledger_growth.txt").write_text("\n".join([*lines, ""]), encoding="utf-8")
    drawn = [row for row in rows if row.drawn and not row.name.startswith(("merkle", "pymerkle"))]
    (FIGURES / "ledger_growth.svg").write_text(_svg(drawn), encoding="utf-8")
    print(f"\nwritten to {FIGURES / 'ledger_growth.txt'} and ledger_growth.svg")


def _lines(rows: Sequence[Row]) -> list[str]:
    head = f"{'':42}{'':6}" + "".join(f"{size:>13,}" for size in SIZES)
    told = [f"{row.name:42}{row.unit:>6}" + "".join(map(_cell, row.costs)) for row in rows]
    return [f"What it costs at so many entries (load {load()})", head, *told]


def _cell(cost: float | None) -> str:
    return f"{'-':>13}" if cost is None else f"{cost:>13,.{0 if cost >= 100 else 1}f}"


WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 860, 460, 70, 30, 300, 50


def _svg(rows: Sequence[Row]) -> str:
    """Both axes are logarithmic; each line is named where it ends."""
    costs = [cost for row in rows for cost in row.costs if cost is not None]
    decades = range(int(log10(min(costs)) // 1), int(-(-log10(max(costs)) // 1)) + 1)
    parts = [*_grid(decades)]
    labels = _spread([_y(_last(row), decades) for row in rows])
    for row, colour, label in zip(rows, COLOURS * 2, labels, strict=False):
        parts += _line(row, colour, label, decades)
    frame = f'viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"'
    style = 'font-family="sans-serif" font-size="12"'
    title = "<title>Cost of each operation as the log grows</title>"
    paper = f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {frame} {style} role="img">'
    return "\n".join([head, title, paper, *parts, "</svg>", ""])


def _x(position: int) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * position / max(1, len(SIZES) - 1)


def _y(cost: float, decades: range) -> float:
    part = (log10(cost) - decades[0]) / (decades[-1] - decades[0])
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * part


def _last(row: Row) -> float:
    return [cost for cost in row.costs if cost is not None][-1]


def _spread(places: Sequence[float]) -> list[float]:
    """The same heights, moved down so that no two labels overlap."""
    found, low = dict[int, float](), 0.0
    for at in sorted(range(len(places)), key=lambda each: places[each]):
        found[at] = low = max(places[at], low + 15)
    return [found[at] for at in range(len(places))]


def _grid(decades: range) -> Iterator[str]:
    for decade in decades:
        y = _y(10**decade, decades)
        told = f"{10**decade:g} µs" if decade < 3 else f"{10 ** (decade - 3):g} ms"
        yield f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#dddddd"/>'
        yield f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{told}</text>'
    for position, size in enumerate(SIZES):
        x = _x(position)
        yield f'<path d="M{x:.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="#eeeeee"/>'
        yield f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 20}" text-anchor="middle">{size:,}</text>'
    middle = (LEFT + WIDTH - RIGHT) / 2
    yield f'<text x="{middle:.1f}" y="{HEIGHT - 8}" text-anchor="middle">entries in the log</text>'


def _line(row: Row, colour: str, label: float, decades: range) -> Iterator[str]:
    told = [*enumerate(row.costs)]
    points = [(_x(at), _y(cost, decades)) for at, cost in told if cost is not None]
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    yield f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
    yield from (f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in points)
    place = f'x="{points[-1][0] + 10:.1f}" y="{label + 4:.1f}"'
    yield f'<text {place} fill="{colour}">{row.name}</text>'


if __name__ == "__main__":
    main()
