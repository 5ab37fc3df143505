"""Decisions about resources that are no customer's data: one entry, and a private list.

    entry   {"action":"policy","at":"…","consent":{…},"decisions":1,"list":"3e1c…",
             "service":"todos"}
    list    {"decisions":[{"action":"can_update_todo","context":{},"reason":"permitted",
             "resource":{"id":"todo-1","properties":{},"type":"todo"}, … }],
             "policy":"9f…","salt":"5b0e…"}

The list names people who work for the company, so it is never published, nor given to customers.
Its random bytes keep anybody from trying out what a digest stands for. `policy` is the digest of
the policy by which it was decided (gate.policy.decisions), under which it is stored.
"""

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import msgspec

from gate.policy.decisions import EntityRef, PolicyQuestion, PolicyReason
from gate.readlog.batch_entry import POLICY, DecisionBatch, MalformedListError
from gate.readlog.entry import Moment

BEGINS = b'{"decisions":[{"action":'  # of such a list, and of no other


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


class PolicyGroup(msgspec.Struct, frozen=True, gc=False):
    """The decisions of one request. Implements `gate.readlog.writer.Many`."""

    service: str
    now: Moment
    decisions: Sequence[LoggedDecision]
    policy: str

    def listing(self, tags: Sequence[str], pads: Sequence[int]) -> bytes:
        """The list; it is about no customer, so it has neither tags nor pads."""
        if tags or pads:
            raise AssertionError("a policy decision is about no customer")
        made = PolicyList(tuple(self.decisions), self.policy, secrets.token_hex(32))
        return _ENCODER.encode(made)

    def entry(self, digest: str) -> bytes:
        at = datetime.fromtimestamp(self.now.second, UTC)
        count, point = len(self.decisions), self.now.point
        return DecisionBatch(POLICY, at, point, count, digest, self.service).encode()

    def alone(self, place: int) -> bytes:
        raise AssertionError(f"no customer is at place {place} of the list")


_ENCODER = msgspec.json.Encoder(order="sorted")
_LISTING = msgspec.json.Decoder(PolicyList)


def listing(data: bytes | None, named: DecisionBatch) -> PolicyList:
    """Parse the list of an entry and check its digest. Raises MalformedListError."""
    if data is None or sha256(data).hexdigest() != named.list:
        raise MalformedListError("the entry's list is missing or has another digest")
    try:
        parsed = _LISTING.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedListError("the entry's list cannot be parsed") from error
    if len(parsed.decisions) != named.decisions or _ENCODER.encode(parsed) != data:
        raise MalformedListError("the list is not in canonical form")
    return parsed
