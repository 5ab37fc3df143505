"""A batch of decisions: one entry of the read log, and the list that stands beside it.

    entry   {"action":"batch","at":"2026-01-01T12:00:00Z","consent":{"root":"…","size":7},
             "decisions":2,"list":"3e1c…","service":"analytics"}
    list    {"decisions":[["4be1…",3,0],["90ac…",null,1]],
             "wordings":[{"fields":["age"],"plan":"9f…","reason":"granted", … },{ … }]}

The entry names its list by SHA-256, as that of a table names its cohort. A decision of the list is
the customer's tag, the consent entry it rests on, and which of the wordings was said of them.
"""

from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from typing import Literal

import msgspec

from gate.decision.decide import Reason, View
from gate.readlog.writer import ReadLogEntry
from gate.state.ledger_position import ConsentPoint

BEGINS = b'{"action":"batch",'  # no other entry begins like this


class MalformedListError(ValueError):
    """The bytes are no batch that a journal writes, or not the list that the entry names."""


class DecisionBatch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The entry."""

    action: Literal["batch"]
    at: datetime  # whole seconds
    consent: ConsentPoint
    decisions: int
    list: str  # SHA-256, in hex
    service: str  # who asked

    def encode(self) -> bytes:
        return _ENCODER.encode(self)


class ListText(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was said of one or many of its customers."""

    fields: tuple[str, ...]
    plan: str
    reason: Reason
    release: str | None
    rows: int
    scene: str
    service: str
    views: Mapping[str, View]


class BatchList(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The list."""

    decisions: tuple[tuple[str, int | None, int], ...]  # tag in hex, consent entry, wording
    wordings: tuple[msgspec.Raw, ...]

    def entry(self, batch: DecisionBatch, place: int) -> ReadLogEntry:
        """One decision, as its entry would be if it had been asked for alone.

        Raises MalformedListError if there is none at `place`.
        """
        if place >= len(self.decisions):
            raise MalformedListError(f"{len(self.decisions)} decisions, want one at {place}")
        tag, determined_by, number = self.decisions[place]
        said = wording(self.wordings[number])
        return ReadLogEntry(
            action="evaluate",
            at=batch.at,
            service=said.service,
            scene=said.scene,
            subject=tag,
            rows=said.rows,
            fields=said.fields,
            views=said.views,
            reason=said.reason,
            determined_by=determined_by,
            plan=said.plan,
            release=said.release,
            consent=batch.consent,
        )


_ENCODER = msgspec.json.Encoder(order="sorted")
_BATCH = msgspec.json.Decoder(DecisionBatch)
_LISTING = msgspec.json.Decoder(BatchList)
_WORDING = msgspec.json.Decoder(ListText)
_BROKEN = (msgspec.DecodeError, UnicodeDecodeError)


def batch(leaf: bytes) -> DecisionBatch:
    """The entry, in its one form. Raises MalformedListError."""
    try:
        found = _BATCH.decode(leaf)
    except _BROKEN as error:
        raise MalformedListError(f"it is not an entry of a journal: {error}") from error
    if found.encode() != leaf or found.at.tzinfo is None or found.consent.size < 0:
        raise MalformedListError("it is not in the one form in which a journal writes")
    return found


def listing(data: bytes | None, named: DecisionBatch) -> BatchList:
    """The list that the entry names. Raises MalformedListError."""
    if data is None or sha256(data).hexdigest() != named.list:
        raise MalformedListError("the list beside it is missing, or another")
    try:
        found = _LISTING.decode(data)
    except _BROKEN as error:
        raise MalformedListError(f"the list beside it is none: {error}") from error
    numbers = [number for _, _, number in found.decisions]
    whole = len(numbers) == named.decisions and all(0 <= n < len(found.wordings) for n in numbers)
    if not whole or _ENCODER.encode(found) != data:
        raise MalformedListError("the list is not in the one form in which a journal writes")
    return found


def wording(raw: msgspec.Raw) -> ListText:
    """Raises MalformedListError."""
    try:
        found = _WORDING.decode(raw)
    except _BROKEN as error:
        raise MalformedListError(f"the list beside it is none: {error}") from error
    if _ENCODER.encode(found) != bytes(raw):
        raise MalformedListError("the list is not in the one form in which a journal writes")
    return found
