"""Clauses L123 to L128 of specs/ledger.md: a start that contradicts what was published."""

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from ledger.errors import CorruptLogError
from ledger.follower import Follower
from ledger.integrity.start import DATABASE, VAULT
from ledger.service import Ledger
from ledger.storage.sqlite import SqlStore
from ledger.tlog import signed_note
from ledger.tlog.signed_note import Signer
from ledger.tlog.writer import Log
from tests.ledger.events import NOON, ORIGIN
from tests.ledger.test_fsck import overwrite
from tests.ledger.worlds import AGE, change, opened, say

Damage = Callable[[Path], object]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`old`: the directory before its newest entries; `home`: now; `other`: another ledger."""
    folder = tmp_path_factory.mktemp("sound")
    grown(folder / "home", 5)
    shutil.copytree(folder / "home", folder / "old")
    ledger = opened(folder / "home")
    say(ledger, "c9", AGE)
    ledger.states.export(folder / "home/log/state")
    ledger.export(folder / "home/log/consent")
    ledger.close()
    grown(folder / "other", 8)
    signer = signed_note.generate("test.example/reads-1")
    (folder / "home/keys/reads-1.vkey").write_text(f"{signer.verifier}\n")
    reads = read_log(folder / "home", signer)
    reads.append([b"a read"] * 20)
    reads.close()
    shutil.copytree(folder / "home/reads", folder / "old/reads")
    reads = read_log(folder / "home", signer)
    reads.append([b"a read"])
    reads.export(folder / "home/log/reads-1")
    reads.close()
    return folder


def grown(home: Path, customers: int) -> None:
    ledger = opened(home)
    for number in range(customers):
        say(ledger, f"c{number}", AGE)
    ledger.states.export(home / "log" / "state")
    ledger.export(home / "log" / "consent")
    ledger.close()


def read_log(home: Path, signer: Signer) -> Log:
    (home / "reads/reads-1").mkdir(parents=True, exist_ok=True)
    return Log.open(home / "reads/reads-1/log.sqlite", signer.name, signer)


@pytest.fixture
def home(sound: Path, tmp_path: Path) -> Path:
    shutil.copytree(sound, tmp_path / "all")
    return tmp_path / "all" / "home"


def taken(file: str, other: str) -> Damage:
    """A file of another directory in the place of ours."""

    def damage(home: Path) -> None:
        shutil.copy(home.parent / other / file, home / file)

    return damage


def removed(*files: str) -> Damage:
    def damage(home: Path) -> None:
        for each in files:
            (home / each).unlink()

    return damage


def emptied(file: str) -> Damage:
    return lambda home: (home / file).write_bytes(b"")


def without_publication(damage: Damage) -> Damage:
    def both(home: Path) -> None:
        shutil.rmtree(home / "log")
        damage(home)

    return both


def sql(statement: str) -> Damage:
    return lambda home: change(home / "ledger.sqlite", statement)


def drop(table: str) -> Damage:
    def damage(home: Path) -> None:
        with sqlite3.connect(home / DATABASE) as connection:
            connection.execute(f"DROP TABLE {table}")
        connection.close()

    return damage


KEYS = [f"keys/{log}.{end}" for log in ("consent", "state") for end in ("key", "vkey")]
REFUSED: dict[str, tuple[Damage, str]] = {
    "keys without a database": (
        without_publication(removed("ledger.sqlite")),
        r"is missing, but there are keys .*restore",
    ),
    "an empty database": (
        without_publication(emptied("ledger.sqlite")),
        r"is empty, but there are keys .*restore",
    ),
    "a publication without a database": (
        removed("ledger.sqlite", *KEYS),
        r"is missing, but 6 entries were published.*entry 6",
    ),
    "another database": (
        without_publication(lambda home: shutil.copy(home / VAULT, home / DATABASE)),
        "no table of a log",
    ),
    "an older database": (
        taken("ledger.sqlite", "old"),
        r"has 5 entries, log/consent has 6.*entry 6",
    ),
    "another ledger's database": (
        taken("ledger.sqlite", "other"),
        r"first 6 entries of the database are not those of log/consent",
    ),
    "no checkpoint": (sql("DELETE FROM head"), "its checkpoint is missing"),
    "no table": (drop("head"), "no table of a log"),
    "an older state log": (
        sql("UPDATE state_head SET size = 1, note = replace(note, 'x', 'y')"),
        r"log/state has .*restore",
    ),
    "a published checkpoint that is none": (
        lambda home: (home / "log/consent/checkpoint").write_bytes(b"\xff\xfe"),
        "cannot be compared",
    ),
    "a published checkpoint signed by another": (
        taken("log/consent/checkpoint", "other"),
        "cannot be compared",
    ),
    "an older read log": (
        taken("reads/reads-1/log.sqlite", "old"),
        r"has 20 entries, log/reads-1 has 21",
    ),
    "no read log": (removed("reads/reads-1/log.sqlite"), r"21 entries were published in log/read"),
    "no key store": (removed("keys/customers.db"), "customers.db is missing or empty.*restore"),
    "an empty key store": (emptied("keys/customers.db"), "is missing or empty.*restore"),
    "no signing key": (removed("keys/consent.key"), "its signing key .* is missing"),
    "pages that do not read": (lambda home: overwrite(home / "ledger.sqlite", "head"), "damaged"),
}


@pytest.mark.parametrize("why", REFUSED)
def test_l123_a_start_that_contradicts_the_past_is_refused(why: str, home: Path) -> None:
    damage, message = REFUSED[why]
    damage(home)
    before = content(home)
    with pytest.raises(Exception, match=message) as refused:
        opened(home).close()
    assert "Error" in type(refused.value).__name__
    assert content(home) == before, "nothing was created or changed"


def content(home: Path) -> dict[str, bytes]:
    sides = ("-wal", "-shm", "-journal")
    return {
        str(path): path.read_bytes()
        for path in home.rglob("*")
        if path.is_file() and not path.name.endswith(sides)
    }


def test_l123_the_directory_as_it_was_opens(home: Path) -> None:
    ledger = opened(home)
    assert ledger.size == 6
    ledger.close()


def test_l124_another_origin_is_refused_with_both_names(home: Path) -> None:
    with pytest.raises(CorruptLogError, match=rf"'{ORIGIN}', the setting origin is 'other/log'"):
        Ledger.open(home, origin="other/log")


@pytest.mark.parametrize(
    "left", ["nothing", "a file", "some tables", "tables", "the state log's keys"]
)
def test_l125_a_first_start_that_was_cut_off_goes_on(left: str, tmp_path: Path) -> None:
    if left == "a file":
        (tmp_path / "ledger.sqlite").touch()
    if left == "some tables":
        SqlStore.at(tmp_path / DATABASE).close()  # and not yet those of the state log
    if left in {"tables", "the state log's keys"}:
        opened(tmp_path / "first").close()
        shutil.copy(tmp_path / "first/ledger.sqlite", tmp_path)
    if left == "the state log's keys":
        shutil.copytree(tmp_path / "first/keys", tmp_path / "keys")
        removed("keys/consent.key", "keys/consent.vkey")(tmp_path)
    ledger = opened(tmp_path)
    say(ledger, "c1", AGE)
    assert ledger.size == 1
    ledger.close()


def test_l126_a_follower_makes_no_database(home: Path) -> None:
    removed("ledger.sqlite")(home)
    with pytest.raises(CorruptLogError, match=r"no log at .*restore"):
        Follower(home)
    assert not (home / "ledger.sqlite").exists()


@pytest.mark.parametrize("log", ["consent", "state"])
def test_l127_no_start_forgets_a_retired_key(log: str, tmp_path: Path) -> None:
    ledger = opened(tmp_path)
    say(ledger, "c1", AGE)
    ledger.rotate(tmp_path, NOON)
    ledger.close()
    removed(f"keys/{log}.retired.policy")(tmp_path)
    before = (tmp_path / f"{log}.policy").read_bytes()
    with pytest.raises(CorruptLogError, match=rf"{log}\.retired\.policy is missing or lacks keys"):
        opened(tmp_path)
    assert (tmp_path / f"{log}.policy").read_bytes() == before
