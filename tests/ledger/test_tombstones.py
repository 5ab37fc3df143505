"""Clauses V51 to V53 of specs/vault.md: what recognises somebody who was erased."""

import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ledger.service import Ledger
from ledger.vault import tombstones
from ledger.vault.vault import VaultError
from tests.ledger.events import NOON
from tests.ledger.worlds import AGE, opened, say

LATER = NOON + timedelta(days=9)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """c1 and c2 gave an instruction; then c1 was erased."""
    ledger = opened(tmp_path)
    say(ledger, "c1", AGE)
    say(ledger, "c2", AGE)
    ledger.erase("c1", NOON)
    ledger.close()
    return tmp_path


def erased_at(home: Path, subject: str) -> datetime | None:
    ledger = opened(home)
    try:
        return ledger.tombstones().erased_at(subject)
    finally:
        ledger.close()


def erase_again(home: Path) -> None:
    ledger = opened(home)
    say(ledger, "c1", AGE)
    ledger.erase("c1", LATER)
    ledger.close()


def test_v51_an_erased_customer_is_recognised_and_nobody_else(home: Path) -> None:
    assert erased_at(home, "c1") == NOON.astimezone(UTC).replace(microsecond=0)
    assert [erased_at(home, each) for each in ("c2", "C1", "c1 ", "")] == [None] * 4


def test_v51_the_last_erasure_counts(home: Path) -> None:
    erase_again(home)
    assert erased_at(home, "c1") == LATER


def test_v51_without_the_key_the_file_says_nothing_about_an_id(home: Path) -> None:
    """Two data directories erase the same customer: their tombstones have nothing in common."""
    other = home / "other"
    ledger = opened(other)
    say(ledger, "c1", AGE)
    ledger.erase("c1", NOON)
    ledger.close()
    first, second = (
        (each / tombstones.NAME).read_text("ascii").split(" ") for each in (home, other)
    )
    assert (first[2], first[1] == second[1], first[0] == second[0]) == (second[2], False, False)
    assert "c1" not in first


def test_v51_the_key_is_the_owners(home: Path) -> None:
    assert (home / "keys" / tombstones.KEY).stat().st_mode & 0o077 == 0
    assert (home / tombstones.NAME).stat().st_mode & 0o077 == 0


def test_v52_somebody_without_a_key_leaves_no_tombstone(home: Path) -> None:
    ledger = opened(home)
    ledger.erase("nobody", NOON)
    ledger.close()
    assert erased_at(home, "nobody") is None


def test_v52_a_data_directory_from_before_gets_its_key_at_the_first_erasure(
    tmp_path: Path,
) -> None:
    ledger = opened(tmp_path)
    say(ledger, "c1", AGE)
    ledger.close()
    (tmp_path / "keys" / tombstones.KEY).unlink()
    assert erased_at(tmp_path, "c1") is None
    ledger = opened(tmp_path)
    ledger.erase("c1", NOON)
    ledger.close()
    assert erased_at(tmp_path, "c1") is not None


def test_v52_a_key_store_that_counted_none_yet_has_none(tmp_path: Path) -> None:
    ledger = opened(tmp_path)
    say(ledger, "c1", AGE)
    ledger.close()
    with closing(sqlite3.connect(tmp_path / "keys" / "customers.db")) as database:
        assert database.execute("SELECT count(*) FROM tombstone").fetchone() == (0,)
    assert erased_at(tmp_path, "c1") is None


def test_v53_without_its_key_no_tombstone_counts_as_checked(home: Path) -> None:
    (home / "keys" / tombstones.KEY).unlink()
    with pytest.raises(VaultError, match="restore that line"):
        erased_at(home, "c1")


def test_v53_a_key_that_was_lost_can_be_put_beside_the_one_that_replaced_it(home: Path) -> None:
    place = home / "keys" / tombstones.KEY
    old = place.read_text("ascii")
    place.unlink()
    ledger = opened(home)
    ledger.erase("c2", LATER)
    ledger.close()
    with pytest.raises(VaultError, match="restore that line"):
        erased_at(home, "c2")
    place.write_text(old + place.read_text("ascii"), "ascii")
    assert erased_at(home, "c1") == NOON.astimezone(UTC).replace(microsecond=0)
    assert erased_at(home, "c2") == LATER


BAD_KEYS = {"empty": "", "short": "ab\n", "not hexadecimal": "x" * 64, "not ASCII": "é"}


@pytest.mark.parametrize("why", BAD_KEYS)
def test_v53_a_damaged_key_is_refused(why: str, home: Path) -> None:
    (home / "keys" / tombstones.KEY).write_text(BAD_KEYS[why], "utf-8")
    with pytest.raises(VaultError, match="hexadecimal digits"):
        erased_at(home, "c1")


def test_v53_a_list_that_lost_lines_is_refused(home: Path) -> None:
    shutil.copy(home / tombstones.NAME, home / "older")
    erase_again(home)
    shutil.copy(home / "older", home / tombstones.NAME)
    with pytest.raises(VaultError, match="has 1 lines, want 2 or more"):
        erased_at(home, "c1")


@pytest.mark.parametrize("line", [" ", "key 00", "5f1c09aa 00 yesterday", "a b c d"])
def test_v53_a_damaged_line_is_refused(line: str, home: Path) -> None:
    with (home / tombstones.NAME).open("a") as file:
        file.write(f"{line}\n")
    with pytest.raises(VaultError, match="line 2: want a key"):
        erased_at(home, "c1")


def test_v53_an_old_key_store_forgets_no_tombstone(tmp_path: Path) -> None:
    ledger = opened(tmp_path)
    say(ledger, "c1", AGE)
    ledger.close()
    shutil.copy(tmp_path / "keys" / "customers.db", tmp_path / "backup")
    ledger = opened(tmp_path)
    ledger.erase("c1", NOON)
    ledger.close()
    shutil.copy(tmp_path / "backup", tmp_path / "keys" / "customers.db")
    assert erased_at(tmp_path, "c1") is not None
    reopened: Ledger = opened(tmp_path)
    assert reopened.history("c1") == []
    reopened.close()
