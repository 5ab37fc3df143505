"""Clause L137 of specs/ledger.md: a backup is restored to either kind of database."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from gate.storage import read_log
from gate.storage.api_keys import ApiKeyStore
from ledger.integrity.finding import FsckFinding
from ledger.storage import database
from ledger.storage.database import REMEMBERED, Database
from ledger.storage.sqlite import LEDGER
from portal.data_directory import inspection, schemas
from portal.operations.settings import Settings
from portal.operations.wiring import open_product
from tests import postgres
from tests.portal.damaged import ERASED, LIVING, lived
from tests.portal.test_backup import run


@pytest.fixture
def addresses(address: str) -> tuple[str, str]:
    """Two empty databases: for the vault and for everything else."""
    return postgres.fresh(address), postgres.fresh(address)


def restored(folder: Path, into: Path, *more: object) -> tuple[int, str]:
    return run("restore", folder / "ledger", "--keys", folder / "keys", "--data-dir", into, *more)


def backed_up(home: Path, folder: Path) -> None:
    status, printed = run(
        "backup", folder / "ledger", "--keys-to", folder / "keys", "--data-dir", home
    )
    assert status == 0, printed


def used(home: Path) -> tuple[list[str], bool, bool]:
    """What a product over `home` has: read logs, the living customer's key, the erased one's."""
    product = open_product(Settings(data_dir=home, demo=True))
    try:
        history = product.ledger.history(LIVING)
        assert history
        assert product.ledger.receipt(history[-1].index)
        keys = product.ledger.version(LIVING) is not None, bool(product.ledger.history(ERASED))
        return read_log.instances(home), *keys
    finally:
        product.ledger.close()
        product.reads.close()


def api_keys(home: Path) -> str:
    """Every key, whether it is revoked, and what it was used for."""
    store = ApiKeyStore(home)
    found = [
        f"{each.id} {'revoked' if each.revoked else 'live'} +{store.uses(each.id).entries} entries"
        for each in sorted(store.all(), key=lambda each: each.id)
    ]
    return "\n".join(found)


def test_l137_from_files_to_postgresql_and_back_nothing_is_lost(
    seeded: Path, tmp_path: Path, addresses: tuple[str, str]
) -> None:
    lived(seeded, tmp_path / "first")
    keys = api_keys(tmp_path / "first")
    assert ("revoked" in keys, "+2 entries" in keys) == (True, True)
    backed_up(tmp_path / "first", tmp_path / "one")
    shutil.rmtree(tmp_path / "first")
    there = ("--database", addresses[0], "--vault-database", addresses[1])
    status, printed = restored(tmp_path / "one", tmp_path / "second", *there)
    assert status == 0, printed
    home = tmp_path / "second"
    assert database.of(home).exists(LEDGER)
    assert not [*home.rglob("*.sqlite"), *home.rglob("*.db")]
    assert run("fsck", "--data-dir", home) == (0, "clean")
    logs, living, erased = used(home)
    assert (living, erased) == (True, False)
    assert run("fsck", "--data-dir", home) == (0, "clean")
    assert "0 differ" in run("replay", "--data-dir", home)[1]
    assert api_keys(home) == keys
    backed_up(home, tmp_path / "two")
    status, printed = restored(tmp_path / "two", tmp_path / "third")
    assert status == 0, printed
    assert not (tmp_path / "third" / REMEMBERED).exists()
    assert run("fsck", "--data-dir", tmp_path / "third") == (0, "clean")
    assert api_keys(tmp_path / "third") == keys
    again, living, erased = used(tmp_path / "third")
    assert (living, erased) == (True, False)
    assert {*logs} < {*again}


def test_l137_a_database_with_tables_is_refused_and_both_are_left_as_they_were(
    seeded: Path, tmp_path: Path, address: str, addresses: tuple[str, str]
) -> None:
    lived(seeded, tmp_path / "first")
    backed_up(tmp_path / "first", tmp_path / "one")
    there = ("--database", addresses[0], "--vault-database", addresses[1])
    assert restored(tmp_path / "one", tmp_path / "second", *there)[0] == 0
    empty = postgres.fresh(address)
    for taken in (there, ("--database", empty, "--vault-database", addresses[1])):
        status, printed = restored(tmp_path / "one", tmp_path / "third", *taken)
        assert status == 1
        assert "has tables already: want an empty database" in printed
        assert not (tmp_path / "third").exists()
    opened = Database(tmp_path, empty)
    assert not any(opened.exists(each) for each in schemas.every(tmp_path))
    opened.close()
    assert run("fsck", "--data-dir", tmp_path / "second") == (0, "clean")


def test_l137_what_is_found_damaged_after_the_move_leaves_the_databases_empty(
    seeded: Path, tmp_path: Path, addresses: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check in files passes; the one over the databases finds something."""
    lived(seeded, tmp_path / "first")
    backed_up(tmp_path / "first", tmp_path / "one")
    look = inspection.inspect

    def damaged_there(home: Path) -> Iterator[FsckFinding]:
        yield from look(home)
        if database.of(home).is_postgres:
            yield FsckFinding("table", "it cannot be read", "ledger")

    monkeypatch.setattr(inspection, "inspect", damaged_there)
    there = ("--database", addresses[0], "--vault-database", addresses[1])
    status, printed = restored(tmp_path / "one", tmp_path / "second", *there)
    assert (status, "it cannot be read" in printed) == (1, True)
    assert not (tmp_path / "second").exists()
    opened = Database(tmp_path, *addresses)
    assert not any(opened.exists(each) for each in schemas.every(tmp_path))
    opened.close()
