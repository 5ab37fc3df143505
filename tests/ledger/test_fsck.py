"""Clauses L90 to L93 of specs/ledger.md."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from ledger.events.envelope import SignalReported, Withdrawn
from ledger.fsck import fsck
from ledger.storage import snapshot
from ledger.tlog import signed_note
from ledger.tlog.writer import Log
from tests.ledger.events import NOON, REPEATABLE
from tests.ledger.worlds import AGE, change, opened, say

GONE = Withdrawn("segmentation")


def wheres(home: Path) -> list[str]:
    return [each.where for each in fsck(home)]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger with everything in it, published twice, and a read log."""
    home = tmp_path_factory.mktemp("sound")
    ledger = opened(home)
    say(ledger, "c1", AGE, GONE, AGE)
    say(ledger, "c2", AGE)
    say(ledger, "c3", AGE, GONE)
    ledger.announce(REPEATABLE)
    ledger.erase("c3", NOON)
    ledger.export(home / "log" / "consent")
    ledger.announce([SignalReported("s", "accuracy", at, NOON) for at in range(600)])
    say(ledger, "c2", GONE)
    ledger.export(home / "log" / "consent")
    ledger.announce(REPEATABLE)
    ledger.close()
    signer = signed_note.generate("test.example/reads-1")
    (home / "reads" / "reads-1").mkdir(parents=True)
    (home / "keys" / "reads-1.vkey").write_text(f"{signer.verifier}\n")
    reads = Log.open(home / "reads" / "reads-1" / "log.sqlite", signer.name, signer)
    reads.append([b"reading"] * 300)
    reads.export(home / "log" / "reads-1")
    reads.close()
    return home


@pytest.fixture
def home(sound: Path, tmp_path: Path) -> Path:
    shutil.copytree(sound, tmp_path / "home")
    return tmp_path / "home"


def test_l90_a_sound_ledger_has_no_findings(home: Path) -> None:
    seen: list[tuple[int, int]] = []
    assert [*fsck(home, lambda done, of: seen.append((done, of)))] == []
    assert seen[-1] == (300, 300)


def test_l90_an_empty_ledger_has_no_findings(tmp_path: Path) -> None:
    opened(tmp_path).close()
    assert wheres(tmp_path) == []


Damage = Callable[[Path], None]


def sql(statement: str, database: str = "ledger.sqlite") -> Damage:
    return lambda home: change(home / database, statement)


def remove(name: str) -> Damage:
    return lambda home: (home / name).unlink()


def write(name: str, data: bytes = b"other") -> Damage:
    def damage(home: Path) -> None:
        assert (home / name).exists()
        (home / name).write_bytes(data)

    return damage


def one_bit(table: str, where: str) -> Damage:
    """Flip the last bit of one stored value."""

    def damage(home: Path) -> None:
        with sqlite3.connect(home / "ledger.sqlite") as connection:
            select = f"SELECT data FROM {table} WHERE {where}"
            (data,) = connection.execute(select).fetchone()
            flipped = data[:-1] + bytes([data[-1] ^ 1])
            connection.execute(f"UPDATE {table} SET data = ? WHERE {where}", [flipped])
        connection.close()

    return damage


FIRST = '"index" = 0'
DAMAGE: dict[str, tuple[Damage, str]] = {
    "the database missing": (remove("ledger.sqlite"), "database"),
    "the policy missing": (remove("consent.policy"), "verifier key"),
    "the policy malformed": (write("consent.policy"), "verifier key"),
    "the database overwritten": (
        write("ledger.sqlite", b"SQLite format 3\0" + bytes(9999)),
        "database",
    ),
    "the checkpoint missing": (sql("DELETE FROM head"), "checkpoint"),
    "the checkpoint replaced": (sql("UPDATE head SET note = 'x'"), "checkpoint"),
    "the size changed": (sql("UPDATE head SET size = size - 1"), "checkpoint"),
    "a bundle missing": (sql(f"DELETE FROM bundle WHERE {FIRST}"), "entry bundle 0"),
    "a bundle cut off": (
        sql(f"UPDATE bundle SET data = substr(data, 1, 99) WHERE {FIRST}"),
        "entry bundle 0",
    ),
    "a bit of an entry": (one_bit("bundle", FIRST), "tile 0 of level 0"),
    "a bit of a full tile": (one_bit("tile", f"level = 0 AND {FIRST}"), "tile 0 of level 0"),
    "a bit of a partial tile": (one_bit("tile", 'level = 0 AND "index" = 2'), "tile 2 of level 0"),
    "a bit of a tile above": (one_bit("tile", "level = 1"), "tile 0 of level 1"),
    "a tile missing": (sql(f"DELETE FROM tile WHERE level = 0 AND {FIRST}"), "tile 0 of level 0"),
    "a bundle too many": (sql("INSERT INTO bundle VALUES (9, x'00')"), "database"),
    "a tile too many": (sql("INSERT INTO tile VALUES (3, 0, x'00')"), "database"),
    "a bit of a sealed event": (one_bit("sealed", FIRST), "sealed event 0"),
    "a sealed event missing": (sql(f"DELETE FROM sealed WHERE {FIRST}"), "entry 0"),
    "a customer's last sealed event missing": (
        sql('DELETE FROM sealed WHERE "index" = 2'),
        "entry 2",
    ),
    "a tag changed": (sql(f"UPDATE sealed SET tag = zeroblob(24) WHERE {FIRST}"), "sealed event 0"),
    "a sealed event for nobody": (
        sql("INSERT INTO sealed VALUES (9999, zeroblob(24), x'00')"),
        "vault",
    ),
    "the key-encryption key missing": (remove("keys/kek"), "key store"),
    "another key-encryption key": (write("keys/kek", bytes(32)), "key store"),
    "a published tile changed": (write("log/consent/tile/0/000"), "published 0"),
    "a published bundle changed": (write("log/consent/tile/entries/001"), "published entries"),
    "a published bundle missing": (remove("log/consent/tile/entries/000"), "published entries"),
    "a published checkpoint changed": (write("log/consent/checkpoint"), "published checkpoint"),
    "a read log's database missing": (
        remove("reads/reads-1/log.sqlite"),
        "reads-1, database",
    ),
    "a read log's entry changed": (
        sql("UPDATE bundle SET data = zeroblob(40)", "reads/reads-1/log.sqlite"),
        "reads-1, entry bundle 0",
    ),
    "a read log's key missing": (remove("keys/reads-1.vkey"), "reads-1, verifier key"),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_l91_it_finds(what: str, home: Path) -> None:
    damage, where = DAMAGE[what]
    damage(home)
    assert where in wheres(home)


TABLES = [
    f"{prefix}{name}"
    for prefix in ("", "state_")
    for name in ("head", "bundle", "tile", "sealed", "bucket")
    if (prefix, name) not in {("", "bucket"), ("state_", "sealed")}
]


@pytest.mark.parametrize("table", TABLES)
def test_l91_a_page_of_random_bytes_is_found_in_every_table(table: str, home: Path) -> None:
    """Earlier a page that SQLite could not read ended the check, which then said `clean`."""
    overwrite(home / "ledger.sqlite", table)
    findings = [*fsck(home)]
    assert any(each.file == "ledger.sqlite" and table in each.what for each in findings)


def overwrite(database: Path, table: str) -> None:
    with sqlite3.connect(database) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        query = "SELECT rootpage FROM sqlite_master WHERE name = ?"
        ((page,),) = connection.execute(query, [table]).fetchall()
        ((size,),) = connection.execute("PRAGMA page_size").fetchall()
    connection.close()
    with database.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(Random(page).randbytes(size))


def test_l91_a_log_that_only_retired_keys_signed_is_found(home: Path) -> None:
    """As a copy of the log and a later copy of the keys would be: it would not open."""
    shutil.copy(home / "ledger.sqlite", home / "older")
    ledger = opened(home)
    ledger.rotate(home, NOON)
    ledger.close()
    (home / "older").rename(home / "ledger.sqlite")
    assert any("not signed by the active keys" in each.what for each in fsck(home))


def test_l93_it_runs_beside_the_writer_and_sees_one_moment(home: Path) -> None:
    """The writer appends and erases at every step of the check, and nothing is reported."""
    ledger = opened(home)
    steps = 0

    def meanwhile(_done: int, _of: int) -> None:
        nonlocal steps
        steps += 1
        say(ledger, f"new-{steps}", AGE)
        ledger.erase(f"new-{steps}", NOON)

    assert [*fsck(home, meanwhile)] == []
    assert steps > 3
    ledger.close()


def test_l93_what_cannot_be_looked_at_is_not_called_damaged(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "BUSY_MS", 20)
    with closing(sqlite3.connect(home / "ledger.sqlite", isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode=EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        findings = [*fsck(home)]
    assert [(each.file, each.looked) for each in findings] == [("ledger.sqlite", False)]


def test_l92_one_changed_bit_is_found_once_and_where_it_is(home: Path) -> None:
    one_bit("sealed", FIRST)(home)
    (finding,) = fsck(home)
    assert str(finding).startswith("ledger.sqlite, sealed event 0: ")
    assert "cannot be decrypted" in finding.what


def test_l92_a_published_directory_that_is_ahead_is_found(home: Path) -> None:
    older = home / "older"
    ledger = opened(older)
    ledger.close()
    shutil.copytree(home / "log", older / "log")
    assert "published checkpoint" in wheres(older)


def test_l93_checking_changes_nothing(home: Path) -> None:
    def files() -> dict[str, bytes]:
        return {str(p): p.read_bytes() for p in home.rglob("*") if p.is_file()}

    before = files()
    assert wheres(home) == []
    after = files()
    assert {k: v for k, v in after.items() if k in before} == before


def test_l92_nothing_personal_is_said(home: Path) -> None:
    for damage in (one_bit("sealed", FIRST), sql('DELETE FROM sealed WHERE "index" = 1')):
        damage(home)
    said = " ".join(map(str, fsck(home)))
    assert said
    assert "c1" not in said
