"""Waits while another process writes the data directory, to serve it as soon as that one ends.

Until then it listens on no port, so a proxy that knows both passes it over. Everything that takes
time to load is loaded meanwhile.
"""

import importlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import typer

from ledger.storage.writer_lock import WriterBusyError, WriterLock

POLL_S = 0.2
AGES_S = 1e9
LOADED = (
    *("portal.app", "portal.data_directory.schemas", "portal.jobs.schedule"),
    *("portal.operations.publishing", "portal.web.serving", "gate.http.serving.server"),
)
Opened = TypeVar("Opened")


def opened(home: Path, open_: Callable[[], Opened]) -> Opened:
    """What `open_` returns, once no other process writes the data directory.

    A database that does not answer is waited for, too, but not at the first attempt: a setting may
    be wrong. Raises as `open_` does, except WriterBusyError.
    """
    from sqlalchemy.exc import OperationalError

    from ledger.storage.database import DatabaseError
    from ledger.storage.interface import LeaseUnconfirmedError

    for each in LOADED:
        importlib.import_module(each)
    waits = ""
    while True:
        try:
            return open_()
        except WriterBusyError as busy:
            why = f"standing by: {busy.holder} writes {home}"
        except (DatabaseError, LeaseUnconfirmedError, OperationalError) as error:
            if not waits:
                raise
            why = f"standing by: the database cannot be used ({type(error).__name__})"
        if why != waits:
            typer.echo(why)
        waits = why
        _wait(home)


def _wait(home: Path) -> None:
    """Until no process of this host writes, and a moment for those of others."""
    lock = WriterLock(home)
    lock.acquire(AGES_S)
    lock.release()
    time.sleep(POLL_S)
