"""Clauses L95 and L96 of specs/ledger.md: each write, fsync and rename fails once."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from ledger.fsck import fsck
from ledger.service import Ledger
from ledger.storage.sqlite import SqlStore
from ledger.tlog import atomic_file
from tests.campaign import sized
from tests.crash import inject
from tests.ledger.worlds import AGE, opened, say

STRACE = inject.strace()
EACH = {  # every so manieth call fails
    "pwrite64": sized(520, 25),
    "fsync": sized(120, 6),
    "fdatasync": sized(120, 6),
    "rename": sized(60, 3),
}


def test_l95_a_life_without_faults(tmp_path: Path) -> None:
    told = inject.life(tmp_path)
    assert [each["published"] for each in told if "published" in each] == [2, 4, 6, 8]
    assert not any("failed" in each for each in told)
    inject.check(tmp_path, told)


@pytest.mark.campaign
@pytest.mark.skipif(STRACE is None, reason="strace is not installed or may not trace here")
@pytest.mark.parametrize("call", EACH)
def test_l95_a_system_call_that_fails_once_loses_nothing(call: str) -> None:
    """A few of them; `python -m tests.crash.inject` lets each one fail."""
    assert STRACE is not None
    failed = [*inject.campaign(STRACE, call, EACH[call])]
    assert any(failed), "no call was made to fail, so this proved nothing"


def failing(call: str, nth: int) -> Callable[..., Any]:
    """The system call, which fails the nth time."""
    real, left = getattr(os, call), [nth]

    def fails(*arguments: Any) -> Any:
        left[0] -= 1
        if left[0] == 0:
            raise OSError(errno.EIO, f"{call} failed")
        return real(*arguments)

    return fails


@pytest.mark.parametrize("call", ["open", "write", "fsync", "close"])
@pytest.mark.parametrize("nth", [1, 2])
def test_l96_a_file_is_the_old_one_or_the_new_one(
    call: str, nth: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    atomic_file.write(path, b"old")
    monkeypatch.setattr(f"ledger.tlog.atomic_file.os.{call}", failing(call, nth))
    try:
        atomic_file.write(path, b"new")
    except OSError:
        assert path.read_bytes() in {b"old", b"new"}
    else:
        assert path.read_bytes() == b"new"
    monkeypatch.undo()
    atomic_file.write(path, b"newer")
    assert path.read_bytes() == b"newer"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_l96_a_full_disk_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    ledger = opened(tmp_path)
    say(ledger, "c1", AGE)
    before = ledger.checkpoint()
    with fullness(ledger), pytest.raises(OperationalError, match="full"):
        say(ledger, "c1", *[AGE] * 2000)
    acknowledged = ledger.checkpoint()
    assert acknowledged != before
    version = ledger.version("c1")
    say(ledger, "c1", AGE)
    assert ledger.version("c1") == version + 1
    ledger.close()
    assert [*fsck(tmp_path)] == []


class fullness:  # noqa: N801 - reads as what it is: `with fullness(ledger):`
    """The database may not grow by more than a few pages."""

    def __init__(self, ledger: Ledger) -> None:
        assert isinstance(ledger.log.store, SqlStore)
        self._store = ledger.log.store

    def __enter__(self) -> None:
        with self._store._engine.connect() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
            connection.exec_driver_sql(f"PRAGMA max_page_count={pages + 6}")

    def __exit__(self, *_: object) -> None:
        with self._store._engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA max_page_count=1073741823")
