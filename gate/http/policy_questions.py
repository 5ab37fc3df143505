"""AuthZEN questions about resources that are no customer's data, answered by the company's policy.

    {"subject": {"type": "user", "id": "alice"}, "action": {"name": "edit"},
     "resource": {"type": "record", "id": "101"}}   -> {"context": {"reason": "permitted"}, …}

A trusted enforcement point asks: `services.toml` lists the types of subjects for which the service
`may_ask_for`. Each decision is logged before it leaves (gate.readlog.batch_entry).

About a customer the policy alone permits nothing. A subject that is no service needs two answers:
that of the policy, whether it may `act_for` the service that asks,

    {"subject": {"type": "user", "id": "alice"}, "action": {"name": "act_for"},
     "resource": {"type": "enforcement_point", "id": "support-desk"}, "context": {"scene": "care"}}

and then that of contract and grant, whether the service may read the customer (gate.http.authzen).
The entry about the customer names the subject.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from gate.decision.key_scope import CUSTOMER
from gate.http import authzen
from gate.http.authzen import MalformedRequestError
from gate.policy.decisions import DecisionPolicy, EntityRef, PolicyQuestion, PolicyReason
from gate.readlog.batch_entry import LoggedDecision
from gate.readlog.entry import PolicyGroup, WrittenDecision, moment
from gate.readlog.writer import Asked, EntryLine, ReadLogEntry, Several
from gate.reads.point import Gate
from ledger.verify.masked_persons import require_person

POLICY = "?"  # counts in place of a scene: no scene has this name
POLICY_NAME = "policy/decisions"  # in /healthz; no scene has this name
ACT_FOR, ENFORCEMENT_POINT = "act_for", "enforcement_point"  # in the company's schema
SERVICE, READ = "service", "read"
MAX_FOUND = 1_000  # per page
MAX_LIST = 8 << 20  # bytes of the private list of one request, about
_ENCODER = msgspec.json.Encoder(order="sorted")


class _Entity(msgspec.Struct, frozen=True):
    type: str
    id: str
    properties: dict[str, Any] = {}

    @property
    def ref(self) -> EntityRef:
        return EntityRef(self.type, self.id, self.properties)


class _Action(msgspec.Struct, frozen=True):
    name: str
    properties: dict[str, Any] = {}


class _Question(msgspec.Struct, frozen=True):
    subject: _Entity
    action: _Action
    resource: _Entity
    context: dict[str, Any] = {}


class PolicyAnswer(msgspec.Struct, frozen=True):
    """A decision, and what is logged of it."""

    logged: LoggedDecision

    @property
    def allowed(self) -> bool:
        return self.logged.reason is PolicyReason.PERMITTED

    @property
    def text(self) -> str:
        """The JSON of the answer, the same whenever it is asked in one state."""
        body = {"context": {"reason": self.logged.reason}, "decision": self.allowed}
        return _ENCODER.encode(body).decode()


class BehalfAnswer(msgspec.Struct, frozen=True):
    """The decision on a customer, for a subject that is no service.

    `decision` is a refusal of no service where the policy did not permit the subject.
    """

    decision: WrittenDecision
    reason: PolicyReason
    person: str = ""  # the subject's id, if its type is one that the service may ask for
    by_policy: PolicyAnswer | None = None  # None: the policy was not asked

    @property
    def allowed(self) -> bool:
        return self.reason is PolicyReason.PERMITTED and self.decision.allowed

    @property
    def asked(self) -> Asked:
        """What is logged of it about the customer."""
        line: EntryLine = self.decision
        if self.person:
            entry = _LEAVES.decode(self.decision.entry(None))
            line = msgspec.structs.replace(entry, on_behalf_of=self.person)
        return line, self.decision.customer

    @property
    def text(self) -> str:
        if self.reason is PolicyReason.PERMITTED:
            return self.decision.answer()
        return _ENCODER.encode({"context": {"reason": self.reason}, "decision": False}).decode()


_LEAVES = msgspec.json.Decoder(ReadLogEntry)


def is_on_behalf(subject: authzen.Entity | None, resource: authzen.Entity | None) -> bool:
    """Whether a subject that is no service asks about a customer."""
    if subject is None or resource is None:
        return False
    return resource.type == CUSTOMER and subject.type != SERVICE


class PolicyQuestions:
    """Answers by the decision policy of one gate."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    @property
    def policy(self) -> DecisionPolicy | None:
        return self._gate.options.decisions

    def is_about(self, service: str, resource_type: object) -> bool:
        """Whether a question about such a resource is one for the company's policy.

        Of a service that may ask by it, each that is not about a customer is.
        """
        policy = self.policy
        if policy is None or resource_type == CUSTOMER:
            return False
        return resource_type in policy.types or service in self._gate.options.may_ask_for

    def answer(self, service: str, raw: Any, at: datetime) -> PolicyAnswer:
        """Decide one question, as it was sent. Raises MalformedRequestError."""
        try:
            asked = msgspec.convert(raw, _Question)
        except msgspec.ValidationError as error:
            raise MalformedRequestError(str(error)) from error
        question = PolicyQuestion(
            asked.subject.ref,
            asked.action.name,
            asked.resource.ref,
            asked.context,
            asked.action.properties,
        )
        (found,) = self.decide(service, [question], at)
        return found

    def decide(
        self, service: str, questions: Sequence[PolicyQuestion], at: datetime
    ) -> list[PolicyAnswer]:
        """Decide, as far as the service is trusted and its quota has room."""
        policy, options = self.policy, self._gate.options
        if policy is None:
            raise AssertionError("the company has no policy of its own")
        trusted = options.may_ask_for.get(service, frozenset())
        suspended = options.decisions_suspended()
        mine = [each for each in questions if each.subject.type in trusted and not suspended]
        room = options.quotas.admits_points(service, POLICY, at, len(mine)) if mine else 0
        made = []
        for each in questions:
            if each.subject.type not in trusted:
                reason = PolicyReason.MAY_NOT_ASK
            elif suspended:
                reason = PolicyReason.SUSPENDED
            elif room == 0:
                reason = PolicyReason.QUOTA_EXCEEDED
            else:
                room, reason = room - 1, policy.decide(each)
            made.append(PolicyAnswer(LoggedDecision.of(each, reason)))
        return made

    def on_behalf(self, service: str, evaluation: authzen.Evaluation, at: datetime) -> BehalfAnswer:
        """Decide by the policy and by contract and grant, of which neither permits alone.

        `evaluation`: complete, with a subject that is no service, about a customer. Raises
        MalformedRequestError, StaleStateError.
        """
        subject = evaluation.subject
        if subject is None:
            raise AssertionError("an evaluation without a subject")
        reason, person, found = PolicyReason.MAY_NOT_ASK, "", None
        if subject.type in self._gate.options.may_ask_for.get(service, ()):
            person = _person(subject.id)
            if evaluation.action is None or evaluation.action.name != READ:
                reason = PolicyReason.NOT_IN_SCHEMA  # of no policy's: nothing was decided by it
            else:
                found = self._may_act(service, evaluation, at)
                reason = found.logged.reason
        by = service if reason is PolicyReason.PERMITTED else ""
        question = authzen.question_by(self._gate, by, evaluation)
        (decision,) = self._gate.decide_in_writing([question], at)
        return BehalfAnswer(decision, reason, person, found)

    def _may_act(self, service: str, asked: authzen.Evaluation, at: datetime) -> PolicyAnswer:
        """Whether the policy lets the subject act for the service in the scene."""
        if asked.subject is None:
            raise AssertionError("an evaluation without a subject")
        subject = EntityRef(asked.subject.type, asked.subject.id, asked.subject.properties)
        scene = authzen.scene_of(self._gate, service, asked.context or authzen.NO_CONTEXT)
        point = EntityRef(ENFORCEMENT_POINT, service)
        question = PolicyQuestion(subject, ACT_FOR, point, {"scene": scene})
        (found,) = self.decide(service, [question], at)
        return found

    def logged(self, service: str, answers: Iterable[PolicyAnswer], at: datetime) -> Several:
        """What the read log gets before any of these answers leaves. Raises StaleStateError."""
        with self._gate.lock:
            _, point = self._gate.current(0)
        policy = self.policy
        digest = policy.digest if policy is not None else ""
        now = moment(int(at.timestamp()), point)
        return Several(PolicyGroup(service, now, [each.logged for each in answers], digest), ())

    def asked(self, service: str, answers: Iterable[object], at: datetime) -> list[Asked]:
        """What is logged of those of these answers that the company's policy gave."""
        mine = [each for each in answers if isinstance(each, PolicyAnswer)]
        behalf = [each.by_policy for each in answers if isinstance(each, BehalfAnswer)]
        mine += [each for each in behalf if each is not None]
        return [self.logged(service, mine, at)] if mine else []


def _person(subject: str) -> str:
    try:
        require_person(subject)
    except ValueError as error:
        raise MalformedRequestError(f"subject.id: {error}") from error
    return subject


def suspended(gate: Gate) -> list[str]:
    """What a gate decides no more until it starts again: scenes, and the company's policy."""
    own = [POLICY_NAME] if gate.options.decisions_suspended() else []
    return [*sorted(gate.suspended), *own]


def require_short(shared: Any, number: int) -> None:
    """Refuse a request whose log would repeat what its questions share too often.

    Raises MalformedRequestError.
    """
    if (size := len(_ENCODER.encode(shared)) * number) > MAX_LIST:
        raise MalformedRequestError(
            f"{number} questions share so much that {size} bytes would be logged, want at most "
            f"{MAX_LIST}; send fewer, or less context"
        )


def completed(body: bytes) -> list[Mapping[str, Any]]:
    """The elements of a batch as they were sent, each with what it leaves to the batch."""
    whole = msgspec.json.decode(body)
    parts = ("subject", "action", "resource", "context")
    given = {name: whole[name] for name in parts if name in whole}
    require_short(given, len(whole["evaluations"]))
    made: list[Mapping[str, Any]] = []
    for each in whole["evaluations"]:
        element = dict(given)
        for name, value in (each if isinstance(each, dict) else {}).items():
            default = given.get(name)
            if name in parts[:3] and isinstance(value, dict) and isinstance(default, dict):
                names = {k: v for k, v in default.items() if k in {"type", "id", "name"}}
                value = names | value  # noqa: PLW2901 - completed
            if name in parts:
                element[name] = value
        made.append(element)
    return made
