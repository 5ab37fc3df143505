"""Evidence put together from a ledger. What it says and how it is verified:
ledger.verify.evidence."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ledger.keys import rotation
from ledger.service import Ledger, UnknownSubjectError
from ledger.tlog import checkpoint, policy
from ledger.tlog.policy import LogPolicy
from ledger.verify import evidence, receipt
from ledger.verify.evidence import Evidence
from ledger.verify.key_history import Rotation
from ledger.verify.receipt import Receipt

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
    ErasedError, RestlessError, RolledBackError, CorruptLogError, and EvidenceError if it would not
    verify under the ledger's own policies: a quorum of witnesses may be out of reach.
    """
    if missing := ledger.version(subject) - len(ledger.history(subject)):
        raise ErasedError(missing)
    if not 1 <= seq <= ledger.version(subject):
        raise UnknownSubjectError(f"no instruction {seq}, there are {ledger.version(subject)}")
    for _ in range(ATTEMPTS):
        if (found := _at_once(ledger, home, subject, seq)) is not None:
            made = replace(found, kept=(*kept,))
            evidence.verify(made, [_policy(home, log) for log in ("consent", "state")])
            return made
    raise RestlessError(f"the log moved on {ATTEMPTS} times meanwhile: ask again")


def _policy(home: Path, log: str) -> LogPolicy:
    return policy.parse((home / f"{log}.policy").read_bytes())


def _at_once(ledger: Ledger, home: Path, subject: str, seq: int) -> Evidence | None:
    """The same, or None if the log moved on meanwhile."""
    said = ledger.history(subject)
    signed, shown = ledger.openings(said)
    state, size = ledger.state_proof(subject), checkpoint.parse(signed.text).size
    if state.entry.size != size:
        return None
    entries = [
        Receipt(each.index, tuple(ledger.log.prove_inclusion(each.index, size)), signed, opening)
        for each, opening in zip(said, shown, strict=True)
    ]
    kept = [receipt.parse(each) for each in rotation.kept(home)]
    rotations = [
        Rotation(each, tuple(ledger.log.prove_inclusion(each.index, size))) for each in kept
    ]
    return Evidence(seq, (*entries,), signed, state, (*rotations,))
