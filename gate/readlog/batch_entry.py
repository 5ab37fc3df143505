"""Many decisions as one entry of the read log, and the list of them that is stored with it.

    entry   {"action":"batch","at":"2026-01-01T12:00:00Z","consent":{"root":"…","size":7},
             "decisions":2,"list":"3e1c…","service":"analytics"}
    list    {"decisions":[["4be1…","5b0e…",0],["90ac…","c711…",1]],
             "wordings":[{"fields":["age"],"plan":"9f…","reason":"granted", … },{ … }]}

The action is `batch` for evaluations that were sent together, `named` for a read of customers whom
the service named, `policy` for decisions about resources that are no customer's data. The entry
names its list by SHA-256, as the entry of a table names its cohort. A decision in the list is the
customer's tag, the consent-log entry it rests on, masked as in a single entry (earlier versions: as
a number or null), and the index of its wording.

The list of a policy entry is about no customer: it has no tags, and what was asked.

    list    {"decisions":[{"action":"can_update_todo","context":{},"reason":"permitted",
             "resource":{"id":"todo-1","properties":{},"type":"todo"}, … }],
             "policy":"9f…","salt":"5b0e…"}

It names people who work for the company, so it is never published, nor given to customers. Its
random bytes keep anybody from trying out what a digest stands for. `policy` is the digest of the
policy by which it was decided (gate.policy.decisions), under which it is stored.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Final, Literal

import msgspec

from gate.decision.decide import Reason, View
from gate.policy.decisions import EntityRef, PolicyQuestion, PolicyReason
from gate.readlog.writer import ReadLogEntry
from gate.state.ledger_position import ConsentPoint

# The beginnings of entries with a list, and of no others.
BEGINS = (b'{"action":"batch",', b'{"action":"named",', b'{"action":"policy",')
ListAction = Literal["batch", "named", "policy"]
POLICY_LIST = b'{"decisions":[{"action":'  # the beginning of a policy entry's list alone
BATCH: Final = "batch"
NAMED: Final = "named"
POLICY: Final = "policy"
_OF_ONE = {BATCH: "evaluate", NAMED: NAMED}  # the action of each decision in the list


class MalformedListError(ValueError):
    """The bytes are not a batch entry in canonical form, or not the list that the entry names."""


class DecisionBatch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The entry of several decisions. `action`: see the module."""

    action: ListAction
    at: datetime  # whole seconds
    consent: ConsentPoint
    decisions: int
    list: str  # SHA-256 of the list, in hex
    service: str  # the requesting service

    def encode(self) -> bytes:
        return _ENCODER.encode(self)


class ListText(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A wording: the part of a decision that several customers of a batch share."""

    fields: tuple[str, ...]
    plan: str
    reason: Reason
    release: str | None
    rows: int
    scene: str
    service: str
    views: Mapping[str, View]


class BatchList(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The list of a batch's decisions."""

    # tag in hex, consent entry, wording
    decisions: tuple[tuple[str, int | str | None, int], ...]
    wordings: tuple[msgspec.Raw, ...]

    def entry(self, batch: DecisionBatch, place: int) -> ReadLogEntry:
        """The decision at `place`, as the entry of a decision on one customer.

        Raises MalformedListError if `place` is out of range.
        """
        if place >= len(self.decisions):
            raise MalformedListError(f"{len(self.decisions)} decisions, want one at {place}")
        tag, determined_by, number = self.decisions[place]
        text = wording(self.wordings[number])
        return ReadLogEntry(
            action=_OF_ONE[batch.action],
            at=batch.at,
            service=text.service,
            scene=text.scene,
            subject=tag,
            rows=text.rows,
            fields=text.fields,
            views=text.views,
            reason=text.reason,
            determined_by=determined_by,
            plan=text.plan,
            release=text.release,
            consent=batch.consent,
        )


class LoggedEntity(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: str
    properties: dict[str, Any]
    type: str

    @classmethod
    def of(cls, entity: EntityRef) -> "LoggedEntity":
        return cls(entity.id, dict(entity.properties), entity.type)

    @property
    def ref(self) -> EntityRef:
        return EntityRef(self.type, self.id, self.properties)


class LoggedDecision(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One decision, with all that it rests on but the policy."""

    action: str
    action_properties: dict[str, Any]
    context: dict[str, Any]
    reason: PolicyReason
    resource: LoggedEntity
    subject: LoggedEntity

    @classmethod
    def of(cls, question: PolicyQuestion, reason: PolicyReason) -> "LoggedDecision":
        return cls(
            question.action,
            dict(question.action_properties),
            dict(question.context),
            reason,
            LoggedEntity.of(question.resource),
            LoggedEntity.of(question.subject),
        )

    @property
    def question(self) -> PolicyQuestion:
        return PolicyQuestion(
            self.subject.ref, self.action, self.resource.ref, self.context, self.action_properties
        )


class PolicyList(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    decisions: tuple[LoggedDecision, ...]
    policy: str
    salt: str


_ENCODER = msgspec.json.Encoder(order="sorted")
_BATCH = msgspec.json.Decoder(DecisionBatch)
_LISTING = msgspec.json.Decoder(BatchList)
_WORDING = msgspec.json.Decoder(ListText)
_POLICY_LISTING = msgspec.json.Decoder(PolicyList)
_BROKEN = (msgspec.DecodeError, UnicodeDecodeError)


def batch(leaf: bytes) -> DecisionBatch:
    """Parse a batch entry in canonical form. Raises MalformedListError."""
    try:
        parsed = _BATCH.decode(leaf)
    except _BROKEN as error:
        raise MalformedListError(f"not a read-log entry: {error}") from error
    if parsed.encode() != leaf or not is_moment(parsed.at, parsed.consent) or parsed.decisions < 1:
        raise MalformedListError("the entry is not in canonical form")
    return parsed


def is_moment(at: datetime, consent: ConsentPoint) -> bool:
    """Whether entries are of such a time, a whole second in UTC, and ledger position."""
    return at.utcoffset() == timedelta() and not at.microsecond and consent.size >= 0


def listing(data: bytes | None, named: DecisionBatch) -> BatchList:
    """Parse the list of a batch and check its digest. Raises MalformedListError."""
    if data is None or sha256(data).hexdigest() != named.list:
        raise MalformedListError("the entry's list is missing or has another digest")
    try:
        parsed = _LISTING.decode(data)
    except _BROKEN as error:
        raise MalformedListError(f"the entry's list cannot be parsed: {error}") from error
    numbers = [number for _, _, number in parsed.decisions]
    whole = len(numbers) == named.decisions and all(0 <= n < len(parsed.wordings) for n in numbers)
    if not whole or not _in_order(numbers, parsed) or _ENCODER.encode(parsed) != data:
        raise MalformedListError("the list is not in canonical form")
    return parsed


def _in_order(numbers: Sequence[int], parsed: BatchList) -> bool:
    """Whether the wordings are listed in the order in which the decisions first name them."""
    return [*dict.fromkeys(numbers)] == [*range(len(parsed.wordings))]


def wording(raw: msgspec.Raw) -> ListText:
    """Parse one wording of a list. Raises MalformedListError."""
    try:
        parsed = _WORDING.decode(raw)
    except _BROKEN as error:
        raise MalformedListError(f"the entry's list cannot be parsed: {error}") from error
    if _ENCODER.encode(parsed) != bytes(raw):
        raise MalformedListError("the list is not in canonical form")
    return parsed


def policy_listing(data: bytes | None, named: DecisionBatch) -> PolicyList:
    """Parse the list of an entry and check its digest. Raises MalformedListError."""
    if data is None or sha256(data).hexdigest() != named.list:
        raise MalformedListError("the entry's list is missing or has another digest")
    try:
        parsed = _POLICY_LISTING.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedListError("the entry's list cannot be parsed") from error
    if len(parsed.decisions) != named.decisions or _ENCODER.encode(parsed) != data:
        raise MalformedListError("the list is not in canonical form")
    return parsed
