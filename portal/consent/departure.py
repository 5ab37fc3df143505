"""Leaving: what a customer who asks to be erased must prove, and the end of everything they allow.

An active key   that key signs the request; or, if it is lost, a fresh sign-in and a code by mail
No key          a fresh sign-in; also for a key that a session enrolled within the last 72 hours

Every grant ends at the request: withdrawals like any other, each with a receipt. Until the request
is carried out or stopped nothing new is allowed.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from gate.contracts.scene import Scene
from ledger import clock
from ledger.events import instruction_signature
from ledger.events.acts import SourceDeleted
from ledger.events.envelope import Act, Granted, Instruction, Withdrawn, Wording
from ledger.events.instruction_signature import (
    PasskeySignature,
    Signature,
    SignatureError,
)
from ledger.events.reducer import ConsentState, SceneConsent
from ledger.reader import RecordedEvent, RecordedInstruction
from ledger.service import Ledger, VersionConflictError
from ledger.vault.commitments import canonical
from portal.consent import keys
from portal.web.pages import PortalContext
from portal.web.problems import LeavingError, MovedError

ACT = "leaving"  # names the words that the customer saw: wording.shown_of_act
ATTEMPTS = 3  # if another instruction of the customer comes in between


def statement(origin: str, subject: str, nonce: bytes, evidence: str) -> dict[str, Any]:
    """What the customer's key signs. Its type makes it no instruction, so no log records it.

    {"evidence":"A","nonce":"9f2c…","origin":"bank.example/consent","subject":"c00007",
     "type":"erasure-request"}
    """
    return {
        "evidence": evidence,
        "nonce": nonce.hex(),
        "origin": origin,
        "subject": subject,
        "type": "erasure-request",
    }


def encoded(said: Mapping[str, Any]) -> bytes:
    return canonical(said)


def require_key(
    state: ConsentState | None, origin: str, subject: str, nonce: bytes, signature: Signature
) -> None:
    """Raise SignatureError unless one of the customer's active keys signed the request."""
    enrolled = keys.authority(state).keys.get(signature.key)
    if enrolled is None:
        raise SignatureError("signed by a key that is none of the customer's active keys")
    evidence = "A" if isinstance(signature, PasskeySignature) else "B"
    said = statement(origin, subject, nonce, evidence)
    instruction_signature.verify(said, signature, enrolled.key)


def require_staying(here: PortalContext, subject: str, act: Act) -> None:
    """Raise LeavingError if the act allows something although the customer is leaving."""
    if isinstance(act, Granted) and here.departures.of(subject) is not None:
        raise LeavingError


def successor(history: Sequence[RecordedEvent]) -> str | None:
    """The number that the customer has now, if it was renamed or merged into another."""
    known = [each.event.act for each in history if isinstance(each, RecordedInstruction)]
    last = known[-1] if known else None
    return last.into if isinstance(last, SourceDeleted) else None


def require_present(history: Sequence[RecordedEvent]) -> None:
    """Raise MovedError for a decision under a number that the company gave up.

    It would change nothing under the new number, and the customer would take it for done.
    """
    if successor(history) is not None:
        raise MovedError


def end_grants(
    ledger: Ledger,
    scenes: Mapping[str, Scene],
    subject: str,
    words: Wording,
    at: datetime,
    only: Collection[str] | None = None,
) -> list[RecordedInstruction]:
    """Withdraw every scene that the customer allows, or has not objected to. Durable on return.

    `only`: the scenes that are meant; None: all. Raises VersionConflictError if instructions of the
    customer keep coming in between.
    """
    for attempt in range(ATTEMPTS):
        try:
            return ledger.record(_withdrawals(ledger, scenes, subject, words, at, only))
        except VersionConflictError:
            if attempt == ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable")


def _withdrawals(
    ledger: Ledger,
    scenes: Mapping[str, Scene],
    subject: str,
    words: Wording,
    at: datetime,
    only: Collection[str] | None,
) -> list[Instruction]:
    drafts: list[Instruction] = []
    for scene in _read(scenes, ledger.state(subject)):
        if only is not None and scene not in only:
            continue
        act = Withdrawn(scene)
        drafts.append(
            drafts[-1].next(act, at=at, wording=words)
            if drafts
            else ledger.draft(
                subject, act, at=at, wording=words, time_uncertain=clock.doubt() is not None
            )
        )
    return drafts


def _read(scenes: Mapping[str, Scene], state: ConsentState | None) -> list[str]:
    """The scenes under which something may be read: granted, or open to an objection."""
    said = state.scenes if state else {}
    granted = [scene for scene, last in said.items() if isinstance(last, SceneConsent)]
    silent = [each.id for each in scenes.values() if each.unsaid and each.id not in said]
    return granted if state and state.deleted else granted + silent
