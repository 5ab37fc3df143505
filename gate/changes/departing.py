"""Notes whose erasure begins, while their data key still exists.

With the data key go the customer's number and pseudonyms, so nobody could find out afterwards which
services received something. The feed notices that the key is gone, adds a line for each of these
services, and removes the note a minute later. Services recognise the customer by a keyed hash of
the id: the id itself is not stored.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from gate.changes import pseudonyms
from gate.readlog.acts import AnnouncedActs, ReadLogActs
from gate.readlog.writer import EntryTagger
from gate.storage.changes import ChangeStore, Departing


class DepartingLedger(AnnouncedActs, EntryTagger, Protocol):
    """The consent log, as long as it knows the customer."""

    def numbers(self, subjects: Sequence[str], /) -> Mapping[str, int]: ...


def note(home: Path, ledger: DepartingLedger, secret: bytes, subject: str) -> set[str]:
    """Note a customer who is about to be erased; returns the read logs that it covers. Durable.

    Notes nothing without a data key.
    """
    origins = _origins(ledger)
    number = ledger.numbers([subject]).get(subject)
    if number is None:
        return origins
    hashed = pseudonyms.hashed(pseudonyms.hash_key(secret), subject)
    with ChangeStore(home).writing() as tables:
        known = origins | {each.origin for each in tables.folded().values()}
        names = tuple(pseudonyms.every(ledger, subject, sorted(known)))
        tables.put_departing(Departing(number, hashed, names))
    return origins


def settle(home: Path, ledger: AnnouncedActs, covered: Iterable[str]) -> None:
    """Refuse all tokens of before if a read log began while the customer was erased.

    What it has of them cannot be found any more; a refused token says to its service that it may
    have missed something.
    """
    if _origins(ledger) - {*covered}:
        with ChangeStore(home).writing() as tables:
            tables.refuse_earlier_tokens()


def _origins(ledger: AnnouncedActs) -> set[str]:
    return {origin for origin, _ in ReadLogActs(ledger).announced()}
