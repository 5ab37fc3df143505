"""Erases a customer: all data in the data directory that identifies them, then their data key.

The steps, in this order, so that repeating them completes an erasure that a crash interrupted:

    1  check for a legal hold; under one, record the request until the hold is lifted
    2  keep the customer's signing key, sealed, so that it binds again should they return
    3  delete names in cases and notices, passkeys, archives, stored receipts, the gate's snapshot;
       note whom services must be told to forget
    4  destroy the data key: no event, read-log entry, review or reminder of theirs opens any more
    5  publish the log entry that a customer was erased; gates empty the customer's row
    6  end their sessions, and their own request if this carries it out

What the company recorded of the same customer under other numbers, before it renamed or merged
them, is erased first, in the same steps: until the last one their history says which numbers.

Rows in the company's own systems (the source) are not deleted: the contract with the customer may
still require them. Without consents the gate answers nothing that needs one.
"""

from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, replace
from datetime import datetime
from pathlib import Path

from gate.changes import departing
from ledger.events.acts import Merged, Renamed
from ledger.service import Ledger, UnknownSubjectError
from ledger.storage import database
from portal.archive import store
from portal.auth.consent_keys import ConsentKeyStore
from portal.auth.passkeys import Passkeys
from portal.auth.returning_keys import ReturningKeys
from portal.auth.session import CUSTOMER
from portal.operations.wiring import SECRET, SNAPSHOT, secret
from portal.storage import warehouse
from portal.storage.departures import Departures
from portal.storage.people import PEOPLE
from portal.storage.sessions import end_sessions, invalidate_sessions
from steward import erasure
from steward.agreements import consent_table
from steward.oversight.legal_hold import Holds, LegalHoldError
from steward.oversight.register import Register

Listener = Callable[[str], object]  # is called with the customer's number


@dataclass(frozen=True, slots=True)
class Erased:
    """How many records of each kind were erased; `numbers`: other ones of the same customer.

    `held`: those of them that a legal hold keeps.
    """

    instructions: int
    cases: int
    passkeys: int
    archives: int
    receipts: int
    numbers: int = 0
    held: int = 0

    def __add__(self, other: "Erased") -> "Erased":
        return Erased(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))


@dataclass(frozen=True, slots=True)
class Eraser:
    """Thread-safe as far as the ledger is. A method's effects are durable when it returns.

    `ended` is called after a customer was erased, and their sessions were ended.
    """

    home: Path
    ledger: Ledger
    register: Register
    ended: Listener = lambda _subject: None

    def customer(self, subject: str, at: datetime) -> Erased:
        """Erase a customer, and what was recorded of them under earlier numbers.

        An earlier number under a legal hold stays until that is lifted. Raises UnknownSubjectError,
        and LegalHoldError after recording the request.
        """
        if not self.ledger.numbers([subject]):  # they have no data key
            if (before := self.ledger.tombstones().erased_at(subject)) is not None:
                self._end(subject)  # which an erasure that was cut off may have left
                raise UnknownSubjectError(
                    f"erased already, at {before:%Y-%m-%d %H:%M:%S}Z: nothing is left to erase"
                )
            raise UnknownSubjectError(
                "want a customer whom the source knows or who gave an instruction, found none: "
                "check the number"
            )
        holds = Holds(self.register)
        if (hold := holds.of(subject)) is not None:
            holds.request(subject, at)
            raise LegalHoldError(hold)
        gone = Erased(0, 0, 0, 0, 0)
        for number in self._earlier(subject):
            if holds.of(number) is not None:
                holds.request(number, at)
                gone = replace(gone, held=gone.held + 1)
            else:
                gone += replace(self._number(number, at), numbers=1)
        return gone + self._number(subject, at)

    def _earlier(self, subject: str) -> list[str]:
        """The numbers that were renamed or merged into this one, the earliest first, with a key."""
        found: list[str] = []
        left = [subject]
        while left:
            for each in self.ledger.history(left.pop()):
                act = each.event.act
                if isinstance(act, Merged | Renamed) and act.customer not in {subject, *found}:
                    found.append(act.customer)
                    left.append(act.customer)
        known = self.ledger.numbers(found)
        return [each for each in reversed(found) if each in known]

    def _number(self, subject: str, at: datetime) -> Erased:
        """Erase what is recorded of a customer under this number, which has a key."""
        indexes = [each.index for each in self.ledger.history(subject)]
        self._keep_key(subject)
        gone = self._around(subject, indexes)
        covered = departing.note(self.home, self.ledger, secret(self.home / SECRET), subject)
        end_sessions(self.home, subject, CUSTOMER)
        # If we crash here, the customer exists, notices call them ***, and they have no passkey.
        self.ledger.erase(subject, at)
        departing.settle(self.home, self.ledger, covered)
        # Crash here: the next start's job finds a snapshot that names an erased customer, and the
        # request of somebody who is erased already. Nobody is signed in as them but who signed in
        # since the line before; erasing them again ends that, too.
        self._end(subject)
        self.ended(subject)
        return gone

    def _end(self, subject: str) -> None:
        """Erase what may have come while the customer's key was destroyed."""
        (self.home / SNAPSHOT).unlink(missing_ok=True)
        end_sessions(self.home, subject, CUSTOMER)
        if database.of(self.home).exists(PEOPLE):
            Departures(self.home).end(subject)

    def entry(self, subject: str, index: int, at: datetime) -> None:
        """Erase one instruction. Raises LegalHoldError, and as `Ledger.erase_entry` does."""
        if (hold := Holds(self.register).of(subject)) is not None:
            raise LegalHoldError(hold)
        self.ledger.erase_entry(subject, index, at)
        # If we crash here, a notice, archives and a stored receipt still contain the entry.
        self.entry_traces(subject, index)
        invalidate_sessions(self.home, subject, CUSTOMER)

    def traces(self, subject: str) -> Erased:
        """Erase the customer's data outside the ledger only, as long as their key exists."""
        return self._around(subject, [each.index for each in self.ledger.history(subject)])

    def entry_traces(self, subject: str, index: int) -> None:
        """Erase the data outside the ledger that contains one instruction."""
        erasure.forget_entry(self.home, index)
        store.discard(self.home, self.ledger, subject)
        _receipts(self.home, [index])

    def _keep_key(self, subject: str) -> None:
        state = self.ledger.state(subject)
        if state is not None and state.authority.keys:
            ReturningKeys(self.home, self.ledger).keep(subject)

    def _around(self, subject: str, indexes: Sequence[int]) -> Erased:
        """Erase the customer's data outside the ledger."""
        home, ledger = self.home, self.ledger
        cases = erasure.forget(home, self.register, ledger, ledger.origin, subject, indexes)
        (home / SNAPSHOT).unlink(missing_ok=True)
        archives = store.forget(home, ledger, subject)
        warehouse.forget(home, [consent_table.pseudonym(ledger, ledger.origin, subject)])
        passkeys = _passkeys(home, subject)
        return Erased(len(indexes), cases, passkeys, archives, _receipts(home, indexes))


def _receipts(home: Path, indexes: Sequence[int]) -> int:
    paths = [home / "receipts" / f"{index}.tlog-proof" for index in indexes]
    stored = [path for path in paths if path.exists()]
    for path in stored:
        path.unlink()
    return len(stored)


def _passkeys(home: Path, subject: str) -> int:
    if not database.of(home).exists(PEOPLE):
        return 0
    signing, keys = ConsentKeyStore(home), Passkeys(home)
    try:
        signing.forget(subject)
        return keys.forget(subject)
    finally:
        signing.close()
        keys.close()
