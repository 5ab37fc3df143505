"""Evidence put together from a ledger. What it says and how it is verified: ledger.evidence."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ledger import checkpoint, receipt, rotation
from ledger.evidence import Evidence
from ledger.ledger import Ledger, UnknownSubjectError
from ledger.receipt import Receipt
from ledger.trust import Rotation

ATTEMPTS = 8  # while others write


class RestlessError(Exception):
    """The log moved on between any two looks at it. Ask again when less is written."""


class ErasedError(LookupError):
    """An entry of the customer was erased: what is left no longer shows that nothing is missing.

    The receipts that the customer holds still verify, one by one.
    """

    def __init__(self, missing: int) -> None:
        super().__init__(f"{missing} of the customer's entries were erased: show receipts instead")


def gathered(
    ledger: Ledger, home: Path, subject: str, seq: int, kept: Sequence[Receipt] = ()
) -> Evidence:
    """Evidence of the subject's instruction number `seq`; `home`: where the ledger lies; `kept`:
    receipts of some of the subject's entries that were cosigned when they were new.

    Raises UnknownSubjectError if there is no such instruction or it no longer opens,
    ErasedError, RestlessError, RolledBackError, CorruptLogError.
    """
    if missing := ledger.version(subject) - len(ledger.history(subject)):
        raise ErasedError(missing)
    if not 1 <= seq <= ledger.version(subject):
        raise UnknownSubjectError(f"no instruction {seq}, there are {ledger.version(subject)}")
    for _ in range(ATTEMPTS):
        if (found := _at_once(ledger, home, subject, seq)) is not None:
            return replace(found, kept=(*kept,))
    raise RestlessError(f"the log moved on {ATTEMPTS} times meanwhile: ask again")


def _at_once(ledger: Ledger, home: Path, subject: str, seq: int) -> Evidence | None:
    """The same, or None if the log moved on meanwhile."""
    signed = ledger.cosigned()
    state = ledger.state_proof(subject)
    said = ledger.history(subject)
    entries = [receipt.parse(ledger.receipt(each.index, subject)) for each in said]
    size = checkpoint.parse(signed.text).size
    if state.entry.size != size or any(each.checkpoint != signed for each in entries):
        return None
    kept = [receipt.parse(each) for each in rotation.kept(home)]
    rotations = [
        Rotation(each, tuple(ledger.log.prove_inclusion(each.index, size))) for each in kept
    ]
    return Evidence(seq, (*entries,), signed, state, (*rotations,))
