"""Erase a customer: everything of ours that says who they were, and then their key.

In this order, so that a crash anywhere is made up for by doing it again:

    1  no legal hold stands, or the request is kept until it is lifted
    2  names in cases and notices, passkeys, archives, kept receipts, the snapshot of the gate
    3  the data key: now no event, reading, review or reminder of theirs opens
    4  the public entry that somebody was erased; every gate that follows begins anew
    5  sessions

Not ours to delete are the rows of the company's own systems (the source): the contract may still
rest on them. No consent is found any more, and the gate answers nothing that rests on one.
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

Told = Callable[[str], object]  # whoever holds something open of the customer's


@dataclass(frozen=True, slots=True)
class Erased:
    """What went, in numbers."""

    instructions: int
    cases: int
    passkeys: int
    archives: int
    receipts: int


@dataclass(frozen=True, slots=True)
class Eraser:
    """Thread-safe as far as the ledger is. What a method did is durable when it returns."""

    home: Path
    ledger: Ledger
    register: Register
    ended: Told = lambda _subject: None
    changed: Told = lambda _subject: None

    def customer(self, subject: str, at: datetime) -> Erased:
        """Erase the customer.

        Raises LegalHoldError, after storing the request, and UnknownSubjectError.
        """
        if self.ledger.version(subject) == 0:
            raise UnknownSubjectError("want a customer who gave an instruction, found none")
        holds = Holds(self.register)
        if (hold := holds.of(subject)) is not None:
            holds.request(subject, at)
            raise LegalHoldError(hold)
        indexes = [each.index for each in self.ledger.history(subject)]
        gone = self._around(subject, indexes)
        # Crash up to here: a customer still, whom notices call *** and who has no passkey.
        self.ledger.erase(subject, at)
        self.ended(subject)
        return gone

    def entry(self, subject: str, index: int, at: datetime) -> None:
        """Erase one instruction. Raises LegalHoldError, and as `Ledger.erase_entry` does."""
        if (hold := Holds(self.register).of(subject)) is not None:
            raise LegalHoldError(hold)
        self.ledger.erase_entry(subject, index, at)
        # Crash here: a notice, archives and a receipt kept for the customer still hold it.
        erasure.forget_entry(self.home, index)
        store.discard(self.home, self.ledger, subject)
        _receipts(self.home, [index])
        self.changed(subject)

    def _around(self, subject: str, indexes: Sequence[int]) -> Erased:
        """What stands outside the ledger."""
        home, ledger = self.home, self.ledger
        cases = erasure.forget(home, self.register, ledger, ledger.origin, subject, indexes)
        (home / SNAPSHOT).unlink(missing_ok=True)
        archives = store.forget(home, ledger, subject)
        passkeys = _passkeys(home / "passkeys.sqlite", subject)
        return Erased(len(indexes), cases, passkeys, archives, _receipts(home, indexes))


def _receipts(home: Path, indexes: Sequence[int]) -> int:
    kept = [home / "receipts" / f"{index}.tlog-proof" for index in indexes]
    found = [path for path in kept if path.exists()]
    for path in found:
        path.unlink()
    return len(found)


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
