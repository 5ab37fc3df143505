"""Files are there whole or not at all, also after a crash."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ledger.tlog import atomic_file


class FullDiskError(OSError):
    """Nothing more can be synchronised."""


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    def fsync(_file: int) -> None:
        raise FullDiskError

    monkeypatch.setattr(os, "fsync", fsync)


def test_a_file_is_written_with_its_folder_and_mode(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "some.key"
    atomic_file.write(path, b"old", atomic_file.OWNER_ONLY)
    atomic_file.write(path, b"new", atomic_file.OWNER_ONLY)
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [*path.parent.iterdir()] == [path]


@pytest.mark.usefixtures("full_disk")
@pytest.mark.parametrize("writer", [atomic_file.write, atomic_file.create])
def test_a_write_that_fails_leaves_no_file(
    writer: Callable[[Path, bytes], None], tmp_path: Path
) -> None:
    with pytest.raises(FullDiskError):
        writer(tmp_path / "some", b"new")
    assert [*tmp_path.iterdir()] == []


def test_parts_become_a_file_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "some"
    path.write_bytes(b"old")
    with atomic_file.writing(path) as file:
        file.write(b"....body")
        file.seek(0)
        file.write(b"head")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"headbody"


def test_parts_that_were_not_finished_replace_nothing(tmp_path: Path) -> None:
    path = tmp_path / "some"
    path.write_bytes(b"old")

    def half() -> None:
        with atomic_file.writing(path) as file:
            file.write(b"half")
            raise ValueError

    with pytest.raises(ValueError, match=r"^$"):
        half()
    assert path.read_bytes() == b"old"
    assert [*tmp_path.iterdir()] == [path]


def test_a_file_that_is_there_is_not_created_again(tmp_path: Path) -> None:
    path = tmp_path / "some"
    atomic_file.create(path, b"first")
    with pytest.raises(FileExistsError):
        atomic_file.create(path, b"second")
    assert path.read_bytes() == b"first"
    assert [*tmp_path.iterdir()] == [path]


def test_of_many_who_create_one_file_one_succeeds(tmp_path: Path) -> None:
    path = tmp_path / "some"

    def created(number: int) -> bool:
        try:
            atomic_file.create(path, str(number).encode() * 1000)
        except FileExistsError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        succeeded = [*pool.map(created, range(8))]
    assert succeeded.count(True) == 1
    assert path.read_bytes() == str(succeeded.index(True)).encode() * 1000
