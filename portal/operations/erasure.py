"""Erases a customer: all data in the data directory that identifies them, then their data key.

The steps, in this order, so that repeating them completes an erasure that a crash interrupted:

    1  check for a legal hold; under one, record the request until the hold is lifted
    2  delete names in cases and notices, passkeys, archives, stored receipts, the gate's snapshot
    3  destroy the data key: no event, read-log entry, review or reminder of theirs opens any more
    4  publish the log entry that a customer was erased; gates empty the customer's row
    5  end their sessions

Rows in the company's own systems (the source) are not deleted: the contract with the customer may
still require them. Without consents the gate answers nothing that needs one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ledger.service import Ledger, UnknownSubjectError
from portal.archive import store
from portal.auth.consent_keys import ConsentKeyStore
from portal.auth.passkeys import Passkeys
from portal.operations.wiring import SNAPSHOT
from steward import erasure
from steward.oversight.legal_hold import Holds, LegalHoldError
from steward.oversight.register import Register

Listener = Callable[[str], object]  # is called with the customer's number


@dataclass(frozen=True, slots=True)
class Erased:
    """How many records of each kind were erased."""

    instructions: int
    cases: int
    passkeys: int
    archives: int
    receipts: int


@dataclass(frozen=True, slots=True)
class Eraser:
    """Thread-safe as far as the ledger is. A method's effects are durable when it returns.

    `ended` is called after a customer was erased, `changed` after one of their entries was.
    """

    home: Path
    ledger: Ledger
    register: Register
    ended: Listener = lambda _subject: None
    changed: Listener = lambda _subject: None

    def customer(self, subject: str, at: datetime) -> Erased:
        """Erase a customer.

        Raises UnknownSubjectError, and LegalHoldError after recording the request.
        """
        if self.ledger.version(subject) == 0:
            raise UnknownSubjectError(
                "want a customer who gave an instruction, found none: check the number"
            )
        holds = Holds(self.register)
        if (hold := holds.of(subject)) is not None:
            holds.request(subject, at)
            raise LegalHoldError(hold)
        indexes = [each.index for each in self.ledger.history(subject)]
        gone = self._around(subject, indexes)
        # If we crash here, the customer exists, notices call them ***, and they have no passkey.
        self.ledger.erase(subject, at)
        (self.home / SNAPSHOT).unlink(missing_ok=True)  # if one was written meanwhile
        # Crash before the line above: the next start's job finds that it names an erased customer.
        self.ended(subject)
        return gone

    def entry(self, subject: str, index: int, at: datetime) -> None:
        """Erase one instruction. Raises LegalHoldError, and as `Ledger.erase_entry` does."""
        if (hold := Holds(self.register).of(subject)) is not None:
            raise LegalHoldError(hold)
        self.ledger.erase_entry(subject, index, at)
        # If we crash here, a notice, archives and a stored receipt still contain the entry.
        self.entry_traces(subject, index)
        self.changed(subject)

    def traces(self, subject: str) -> Erased:
        """Erase the customer's data outside the ledger only, as long as their key exists."""
        return self._around(subject, [each.index for each in self.ledger.history(subject)])

    def entry_traces(self, subject: str, index: int) -> None:
        """Erase the data outside the ledger that contains one instruction."""
        erasure.forget_entry(self.home, index)
        store.discard(self.home, self.ledger, subject)
        _receipts(self.home, [index])

    def _around(self, subject: str, indexes: Sequence[int]) -> Erased:
        """Erase the customer's data outside the ledger."""
        home, ledger = self.home, self.ledger
        cases = erasure.forget(home, self.register, ledger, ledger.origin, subject, indexes)
        (home / SNAPSHOT).unlink(missing_ok=True)
        archives = store.forget(home, ledger, subject)
        passkeys = _passkeys(home / "passkeys.sqlite", subject)
        return Erased(len(indexes), cases, passkeys, archives, _receipts(home, indexes))


def _receipts(home: Path, indexes: Sequence[int]) -> int:
    paths = [home / "receipts" / f"{index}.tlog-proof" for index in indexes]
    stored = [path for path in paths if path.exists()]
    for path in stored:
        path.unlink()
    return len(stored)


def _passkeys(path: Path, subject: str) -> int:
    if not path.exists():
        return 0
    signing, keys = ConsentKeyStore(path), Passkeys(path)
    try:
        signing.forget(subject)
        return keys.forget(subject)
    finally:
        signing.close()
        keys.close()
