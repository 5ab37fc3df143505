"""Clauses V30 to V33 of specs/vault.md: what an old copy of the keys brings back."""

import re
import shutil
from contextlib import closing
from pathlib import Path

import pytest

from ledger.fsck import fsck
from ledger.service import Ledger
from ledger.vault import key_encryption_key
from ledger.vault.erasure_list import NAME
from ledger.vault.vault import Vault, VaultError
from tests.ledger.events import NOON
from tests.ledger.worlds import AGE, opened, say


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """c1, c2 and c3 spoke; everything was copied to `backup`; then c1 was erased, and an entry."""
    ledger = opened(tmp_path)
    say(ledger, "ada-1", AGE, AGE)
    say(ledger, "c2", AGE, AGE)
    say(ledger, "c3", AGE)
    ledger.close()
    shutil.copytree(tmp_path / "keys", tmp_path / "backup")
    again = opened(tmp_path)
    again.erase("ada-1", NOON)
    again.erase_entry("c2", 2, NOON)
    again.close()
    return tmp_path


def restored(home: Path) -> Ledger:
    """The key store of the backup in the place of today's."""
    shutil.copy(home / "backup" / "customers.db", home / "keys" / "customers.db")
    return opened(home)


def test_v31_an_old_key_store_brings_nobody_back(home: Path) -> None:
    ledger = restored(home)
    assert ledger.history("ada-1") == []
    assert [each.index for each in ledger.history("c2")] == [3]
    assert [each.index for each in ledger.history("c3")] == [4]
    ledger.close()
    assert [*fsck(home)] == []


def test_v31_nor_do_its_bytes_hold_what_it_brought(home: Path) -> None:
    restored(home).close()
    assert b"ada-1" not in (home / "keys" / "customers.db").read_bytes()


def test_v31_who_came_back_stays(home: Path) -> None:
    ledger = opened(home)
    say(ledger, "ada-1", AGE)
    ledger.close()
    again = opened(home)
    assert again.version("ada-1") == 1
    again.close()
    shutil.copytree(home / "keys", home / "later")
    shutil.copy(home / "later" / "customers.db", home / "keys" / "customers.db")
    last = opened(home)
    assert last.version("ada-1") == 1
    last.close()


def test_v30_the_list_names_nobody(home: Path) -> None:
    lines = (home / NAME).read_text().splitlines()
    assert all(
        re.fullmatch(r"key [0-9a-f]{64}|entry [0-9a-f]{64} 1 2 [0-9a-f]{64}", line)
        for line in lines
    )
    assert [line.split(" ")[0] for line in lines] == ["key", "entry"]
    with closing(Vault(home / "backup")) as backup:
        for subject, key in backup.data_keys():
            assert not any(subject in line.split(" ") for line in lines)
            assert key[:32].hex() not in "".join(lines)
            assert key[32:].hex() not in "".join(lines)


@pytest.mark.parametrize("whose", ["ada-1", "c2"])
def test_v30_a_crash_before_the_key_goes_is_made_up_for(home: Path, whose: str) -> None:
    """The list is ahead of the key store: that is what the crash leaves."""
    shutil.copytree(home, home / "crashed", ignore=shutil.ignore_patterns("crashed"))
    crashed = home / "crashed"
    ledger = restored(crashed)
    assert len(ledger.history(whose)) == {"ada-1": 0, "c2": 1}[whose]
    ledger.close()


def test_v30_a_line_that_was_cut_off_is_none(home: Path) -> None:
    with (home / NAME).open("a") as file:
        file.write("key 00")
    ledger = opened(home)
    ledger.erase("c3", NOON)
    ledger.close()
    assert [line.split(" ")[0] for line in (home / NAME).read_text().splitlines()] == [
        "key",
        "entry",
        "key",
    ]


def test_v32_a_list_that_lost_lines_is_refused(home: Path) -> None:
    (home / NAME).unlink()
    with pytest.raises(
        VaultError, match="has 0 lines, but the key store has applied 2: restore the newest"
    ):
        opened(home)


def test_v33_what_an_old_copy_opens_elsewhere_a_rotation_of_a_keeper_ends(home: Path) -> None:
    """A stated limit: without the list, an old copy with its key opens everything of then."""
    elsewhere = home / "elsewhere"
    shutil.copytree(home / "backup", elsewhere / "keys")
    with closing(Vault(elsewhere / "keys")) as old:
        assert old.key("ada-1") is not None
    with closing(Vault(home / "keys")) as today:
        today.rotate(key_encryption_key.FileProvider())
    shutil.copy(home / "keys" / "kek", elsewhere / "keys" / "kek")
    with pytest.raises(VaultError, match="restore it"):
        Vault(elsewhere / "keys")
