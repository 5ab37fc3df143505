"""Build an evidence file from a ledger. Format and verification: ledger.verify.evidence."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ledger.keys import rotation
from ledger.service import Ledger, UnknownSubjectError
from ledger.tlog import checkpoint, policy
from ledger.tlog.policy import LogPolicy
from ledger.tlog.signed_note import Note
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
            kept = _earlier(ledger, evidence_now, earlier)
            made = replace(evidence_now, earlier_receipts=tuple(kept))
            evidence.verify(made, [_policy(home, log) for log in ("consent", "state")])
            return made
    raise LogMovedError(
        f"entries were appended during each of {ATTEMPTS} attempts: retry when the log is less busy"
    )


def _earlier(ledger: Ledger, made: Evidence, given: Sequence[Receipt]) -> list[Receipt]:
    """The given receipts, and those of the requests of recoveries that show how long they waited.

    For each request: under the first cosigned checkpoint that has it, and under the last one that
    does not have its end.
    """
    found = [*given]
    notes = [*ledger.cosigned_history()]
    request: Receipt | None = None
    for each in made.entries:
        kind = each.extra["event"]["act"]["type"]
        if kind == "recovery-requested":
            request = each
        if kind != "key-recovered" or request is None:
            continue
        between = [note for note in notes if request.index < _size(note) <= each.index]
        for note in (between[0], between[-1]) if between else ():
            path = tuple(ledger.log.prove_inclusion(request.index, _size(note)))
            then = Receipt(request.index, path, note, request.extra)
            if not any(_same(then, other) for other in found):
                found.append(then)
    return sorted(found, key=lambda each: (each.index, _size(each.checkpoint)))


def _same(one: Receipt, other: Receipt) -> bool:
    """Whether both are of one entry, with a cosignature of the same moment."""
    return one.index == other.index and bool(_cosignatures(one) & _cosignatures(other))


def _cosignatures(receipt_then: Receipt) -> set[bytes]:
    note = receipt_then.checkpoint
    origin = checkpoint.parse(note.text).origin
    return {each.signature for each in note.signatures if each.name != origin}


def _size(note: Note) -> int:
    return checkpoint.parse(note.text).size


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
