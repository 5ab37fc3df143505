"""A PostgreSQL server, and data directories whose tables are in files or in its databases."""

import json
from pathlib import Path

import pytest

from ledger.storage.database import REMEMBERED
from tests import postgres


@pytest.fixture
def fresh(address: str) -> str:
    """The address of an empty database."""
    return postgres.fresh(address)


@pytest.fixture(params=["sqlite", "postgres"])
def placed(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """An empty data directory, with files or with a database for all its schemas."""
    if request.param == "postgres":
        place_in(tmp_path, request.getfixturevalue("fresh"))
    return tmp_path


def place_in(home: Path, address: str) -> None:
    """Let a data directory use the database at `address` for the log and for the vault."""
    (home / "keys").mkdir(parents=True)
    (home / REMEMBERED).write_text(json.dumps({"database": address, "vault": address}))
