"""Ends the process that serves a data directory when another one may have become its writer.

Decisions ask for themselves whether the lease is confirmed (`Ledger.size`). The watch asks the
server each second, so that they need not, and so that a writer that lost its lease does not stay.
"""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import Protocol

from ledger.storage.interface import LeaseLostError, LeaseUnconfirmedError

EVERY_S = 1.0
LOST = 3  # exit status
_LOG = logging.getLogger("sovereign")


class Leased(Protocol):
    def confirm_lease(self) -> None: ...


@contextmanager
def watching(ledger: Leased) -> Iterator[None]:
    """Confirm the lease of `ledger` each second, in a thread, while the context lasts."""
    over = Event()
    thread = Thread(target=_watch, args=[ledger, over], name="lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(EVERY_S)


def _watch(ledger: Leased, over: Event) -> None:
    confirmed = True
    while not over.wait(EVERY_S):
        try:
            ledger.confirm_lease()
        except LeaseLostError as error:
            if not over.is_set():
                _end(error)
        except LeaseUnconfirmedError as error:
            if confirmed:
                _LOG.warning("%s; until then nothing is answered", error)
            confirmed = False
        else:
            if not confirmed:
                _LOG.warning("the database confirms the lease again: requests are answered")
            confirmed = True


def _end(error: LeaseLostError) -> None:
    """End as after a crash: whatever is under way must neither be answered nor written."""
    sys.stderr.write(f"{error}\n")
    sys.stderr.flush()
    os._exit(LOST)
