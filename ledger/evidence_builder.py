"""Build an evidence file from a ledger. Format and verification: ledger.verify.evidence."""

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

ATTEMPTS = 8  # evidence needs a moment in which nobody appends; how often we try


class LogMovedError(Exception):
    """Entries were appended during every attempt. Retry when the log is less busy."""


class ErasedError(LookupError):
    """An entry of the customer was erased, so completeness can no longer be proven.

    The receipts that the customer holds still verify, one by one.
    """

    def __init__(self, missing: int) -> None:
        super().__init__(
            f"{missing} of the customer's entries were erased, and evidence needs all of them: "
            "show single receipts instead"
        )


def build_evidence(
    ledger: Ledger, home: Path, subject: str, seq: int, earlier: Sequence[Receipt] = ()
) -> Evidence:
    """Evidence of the subject's instruction number `seq`.

    `home`: the data directory of the ledger. `earlier`: receipts of some of the subject's entries
    that were cosigned when they were new. Raises UnknownSubjectError if there is no such
    instruction or it can no longer be decrypted, ErasedError, LogMovedError, RolledBackError,
    CorruptLogError, and EvidenceError if the result would not verify under the ledger's own
    policies, for instance because too few witnesses answer.
    """
    if missing := ledger.version(subject) - len(ledger.history(subject)):
        raise ErasedError(missing)
    if not 1 <= seq <= ledger.version(subject):
        raise UnknownSubjectError(
            f"no instruction {seq}: the customer has given {ledger.version(subject)}"
        )
    for _ in range(ATTEMPTS):
        if (evidence_now := _at_once(ledger, home, subject, seq)) is not None:
            made = replace(evidence_now, earlier_receipts=(*earlier,))
            evidence.verify(made, [_policy(home, log) for log in ("consent", "state")])
            return made
    raise LogMovedError(
        f"entries were appended during each of {ATTEMPTS} attempts: retry when the log is less busy"
    )


def _policy(home: Path, log: str) -> LogPolicy:
    return policy.parse((home / f"{log}.policy").read_bytes())


def _at_once(ledger: Ledger, home: Path, subject: str, seq: int) -> Evidence | None:
    """The evidence, or None if entries were appended while it was put together."""
    history = ledger.history(subject)
    signed, openings = ledger.openings(history)
    state, size = ledger.state_proof(subject), checkpoint.parse(signed.text).size
    if state.entry.size != size:
        return None
    entries = [
        Receipt(each.index, tuple(ledger.log.prove_inclusion(each.index, size)), signed, opening)
        for each, opening in zip(history, openings, strict=True)
    ]
    receipts = [receipt.parse(each) for each in rotation.stored_receipts(home)]
    rotations = [
        Rotation(each, tuple(ledger.log.prove_inclusion(each.index, size))) for each in receipts
    ]
    return Evidence(seq, (*entries,), signed, state, (*rotations,))
