"""Clauses V60 to V64 and V75 of specs/vault.md: the index of owners."""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ledger.errors import CorruptLogError
from ledger.events.envelope import Instruction, Withdrawn
from ledger.follower import Follower
from ledger.fsck import fsck
from ledger.service import Ledger
from ledger.vault.vault import Vault
from portal.commands import app
from tests.ledger.events import NOON
from tests.ledger.worlds import AGE, opened, say

GONE = Withdrawn("segmentation")
CUSTOMERS = "keys/customers.db"
MANY = 9  # instructions: two more rows than the powers of two that were indexed before


@pytest.fixture
def home(tmp_path: Path) -> Path:
    with closing(opened(tmp_path)) as ledger:
        say(ledger, "c1", AGE)
        for act in (AGE, GONE) * 4:
            say(ledger, "c2", act)
        say(ledger, "c2", AGE)
        say(ledger, "c3", AGE)
    return tmp_path


@pytest.fixture
def ledger(home: Path) -> Iterator[Ledger]:
    with closing(opened(home)) as made:
        yield made


def followed(home: Path) -> list[tuple[str, int]]:
    events = (each.event for each in Follower(home).follow(0))
    return [(each.subject, each.seq) for each in events if isinstance(each, Instruction)]


def rows(home: Path) -> list[tuple[str | None, int]]:
    with closing(sqlite3.connect(home / CUSTOMERS)) as database:
        return database.execute("SELECT subject, seq FROM owner").fetchall()


def change(home: Path, statement: str) -> None:
    with closing(sqlite3.connect(home / CUSTOMERS, isolation_level=None)) as database:
        assert database.execute(statement).rowcount


ALL = [("c1", 1), *(("c2", each) for each in range(1, MANY + 1)), ("c3", 1)]


def test_v60_a_follower_knows_whose_each_entry_is(home: Path) -> None:
    assert followed(home) == ALL


def test_v61_rows_are_written_ahead_to_the_next_power_of_two(home: Path) -> None:
    counted = {each: sum(subject == each for subject, _ in rows(home)) for each in ("c1", "c2")}
    assert counted == {"c1": 4, "c2": 16}


def test_v61_most_instructions_write_nothing_here(ledger: Ledger, home: Path) -> None:
    os.utime(home / CUSTOMERS, ns=(0, 0))  # times of files are too coarse to tell two writes apart
    say(ledger, "c1", AGE, GONE, AGE)
    assert (home / CUSTOMERS).stat().st_mtime_ns == 0
    say(ledger, "c1", GONE)
    assert (home / CUSTOMERS).stat().st_mtime_ns > 0


def test_v62_an_erasure_takes_the_customer_out_and_changes_no_other_row(
    ledger: Ledger, home: Path
) -> None:
    before = {each for each in rows(home) if each[0] != "c2"}
    ledger.erase("c2", NOON)
    assert {each for each in rows(home) if each[0] is not None} == before
    assert followed(home) == [("c1", 1), ("c3", 1)]


def test_v62_an_erased_entry_is_nobodys_and_what_follows_is_found(
    ledger: Ledger, home: Path
) -> None:
    second = ledger.history("c2")[1].index
    ledger.erase_entry("c2", second, NOON)
    say(ledger, "c2", GONE)
    assert followed(home) == [each for each in ALL if each != ("c2", 2)] + [("c2", MANY + 1)]


def test_v63_an_older_key_store_hides_no_withdrawal(home: Path) -> None:
    shutil.copy(home / CUSTOMERS, home / "older")
    with closing(opened(home)) as ledger:
        say(ledger, "c1", *[AGE] * 4, GONE)
    shutil.copy(home / "older", home / CUSTOMERS)
    with pytest.raises(CorruptLogError, match="older than the log"):
        followed(home)
    assert any("index of owners" in str(each) for each in [*fsck(home)])

    done = CliRunner().invoke(app, ["vault", "reindex", "--data-dir", str(home)])
    assert (done.exit_code, done.output) == (0, "the index of owners is complete\n")
    assert sorted(followed(home)) == sorted([*ALL, *(("c1", each) for each in range(2, 7))])
    assert [*fsck(home)] == []


def test_v75_what_an_older_key_store_lost_is_not_taken_for_erased(home: Path) -> None:
    """A customer who came since: no key derives their entries, and nobody erased them."""
    shutil.copy(home / CUSTOMERS, home / "older")
    with closing(opened(home)) as ledger:
        say(ledger, "c9", AGE, GONE)
        ledger.erase("c3", NOON)
    shutil.copy(home / "older", home / CUSTOMERS)
    before = [str(each) for each in fsck(home)]
    for command in (["vault", "reindex"], ["erase", "c2"], ["customers", "deleted", "c2"]):
        done = CliRunner().invoke(app, [*command, "--data-dir", str(home)])
        assert done.exit_code != 0, done.output
        assert "restore" in done.output.casefold()
    assert [str(each) for each in fsck(home)] == before != []


DAMAGE: dict[str, str] = {
    "a row is gone": "DELETE FROM owner WHERE subject = 'c1' AND seq = 1",
    "an entry is listed as erased": "UPDATE owner SET subject = NULL WHERE subject = 'c2'",
    "an entry is under somebody else": "UPDATE owner SET subject = 'c3' WHERE subject = 'c1'",
    "an entry is listed under nobody known": "UPDATE owner SET subject = 'x' WHERE subject = 'c1'",
    "an entry is listed as another event": "UPDATE owner SET seq = 2 WHERE subject = 'c3'",
}


@pytest.mark.parametrize("why", DAMAGE)
def test_v63_fsck_compares_the_index_with_the_keys_and_the_log(home: Path, why: str) -> None:
    assert [*fsck(home)] == []
    change(home, DAMAGE[why])
    assert any("index of owners" in str(each) for each in [*fsck(home)])


@pytest.mark.parametrize("by", ["its writer", "a follower"])
def test_v64_a_directory_of_before_is_indexed_at_first_use(home: Path, by: str) -> None:
    change(home, "DELETE FROM owner")
    change(home, "UPDATE owner_key SET complete = 0")
    assert [*fsck(home)] == []
    if by == "its writer":
        opened(home).close()
        assert sorted(each for each in rows(home) if each in ALL) == sorted(ALL)
    assert followed(home) == ALL
    assert [*fsck(home)] == []


def test_v2_a_rotation_keeps_the_index(home: Path) -> None:
    from ledger.vault import key_encryption_key

    with closing(Vault(home / "keys")) as vault:
        vault.rotate(key_encryption_key.FileProvider())
    assert followed(home) == ALL
    assert [*fsck(home)] == []


LOST: dict[str, str] = {
    "the key is gone": "DELETE FROM customer WHERE subject = 'c1'",
    "another customer's key stands there": (
        "UPDATE customer SET wrapped = (SELECT wrapped FROM customer WHERE subject = 'c2')"
        " WHERE subject = 'c1'"
    ),
}


@pytest.mark.parametrize("why", LOST)
def test_v75_a_lost_key_is_no_erasure_and_no_rebuilt_index_makes_it_one(
    home: Path, why: str
) -> None:
    change(home, LOST[why])
    (finding,) = (each for each in fsck(home) if each.where == "key store")
    assert "customers who were not erased: restore keys/" in finding.what
    listed = rows(home)

    done = CliRunner().invoke(app, ["vault", "reindex", "--data-dir", str(home)])
    assert done.exit_code != 0
    assert "would take them for erased: restore keys/" in done.output
    assert rows(home) == listed


def test_v75_who_was_erased_is_not_lost(home: Path) -> None:
    with closing(opened(home)) as ledger:
        ledger.erase("c1", NOON)
    assert [*fsck(home)] == []
    done = CliRunner().invoke(app, ["vault", "reindex", "--data-dir", str(home)])
    assert (done.exit_code, [*fsck(home)]) == (0, [])


def test_v71_who_lost_their_key_is_no_newcomer(home: Path) -> None:
    change(home, LOST["the key is gone"])
    with closing(opened(home)) as ledger:
        assert ledger.create_keys(["c1", "c2", "newcomer"]) == 1
        assert {*ledger.numbers(["c1", "newcomer"])} == {"newcomer"}
