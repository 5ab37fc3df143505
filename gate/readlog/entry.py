"""Fast serialisation of decisions to read-log entries and JSON answers, from cached templates.

The text of a decision depends on the plan, the requested fields and the customer's consent bits,
which have few distinct combinations. Their text is cached, and the parts that differ per request
are inserted: the second, the ledger position, the determining entry, the tag.

    {"action":"evaluate","at":"…","cohort":null,"consent":{"root":"…","size":7},"determined_by":
        "5b0e…" ,"fields":["age"],"plan":"9f…", … ,"subject": "4be1…" ,"views":{"age":"personal"}}

The bytes equal those of `gate.readlog.writer.ReadLogEntry.encode`: see tests/gate/test_ruling.py.
"""

import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache

import msgspec

from gate.decision.decide import Reason, Verdict, View
from gate.policy.compiled import Plan
from gate.readlog.batch_entry import (
    BATCH,
    POLICY,
    DecisionBatch,
    ListAction,
    LoggedDecision,
    PolicyList,
)
from gate.state import consent_bits
from gate.state.ledger_position import ConsentPoint
from ledger.vault.commitments import masked

REMEMBERED = 8192  # cached texts of about a kilobyte each
_ENCODER = msgspec.json.Encoder(order="sorted")


class Question(msgspec.Struct, frozen=True, gc=False):
    """The same question about one or many customers: a fast form of `ReadRequest`."""

    service: str
    scene: str
    subjects: Sequence[str]
    fields: tuple[str, ...]
    minimum_size: int = 0


class Moment(msgspec.Struct, frozen=True):
    """A second at one ledger position, and the text with which all its entries begin."""

    second: int  # since 1970, UTC
    minute: int  # as in consent bits
    point: ConsentPoint
    begins: str


class _Middle(msgspec.Struct, frozen=True):
    """The members of an entry between `determined_by` and `subject`."""

    fields: tuple[str, ...]
    plan: str
    reason: Reason
    release: str | None
    rows: int
    scene: str
    service: str


class EntryText(msgspec.Struct, frozen=True):
    """The parts of a decision's text that are the same for all customers."""

    service: str
    allowed: bool
    reason: Reason
    rests: bool  # whether it rests on an entry of the consent log
    middle: str
    ends: str  # the end of the read-log entry
    closes: str  # the end of the answer
    text: str  # the wording in a batch's list


class WrittenDecision(msgspec.Struct, frozen=True, gc=False):
    """One decision with its serialised text. Implements `gate.readlog.writer.EntryLine`."""

    moment: Moment
    wording: EntryText
    determined_by: int | None
    customer: str

    @property
    def allowed(self) -> bool:
        return self.wording.allowed

    def entry(self, tag: str | None, pad: int | None = None) -> bytes:
        """The leaf of the read log."""
        rests, wording = self.determined_by, self.wording
        if pad is not None:
            index: str | int = f'"{masked(rests, pad)}"'
        else:
            index = "null" if rests is None else rests
        named = "null" if tag is None else f'"{tag}"'
        return f"{self.moment.begins}{index}{wording.middle}{named}{wording.ends}".encode()

    def answer(self) -> str:
        """The JSON of the answer, the same whenever it is asked in one state."""
        rests, size = self.determined_by, self.moment.point.size
        index = "null" if rests is None else rests
        return f'{{"context":{{"determined_by":{index},"ledger_size":{size}{self.wording.closes}'


class DecisionGroup(msgspec.Struct, frozen=True, gc=False):
    """The decisions of one request and moment: one entry with a list (gate.readlog.batch_entry)."""

    service: str
    rulings: Sequence[WrittenDecision]
    action: ListAction = BATCH

    def listing(self, tags: Sequence[str], pads: Sequence[int]) -> bytes:
        """The list of decisions, with the customers' `tags`, and the pads of their positions."""
        decisions, numbers, texts = list[str](), dict[int, int](), list[str]()
        for decision, tag, pad in zip(self.rulings, tags, pads, strict=True):
            text = decision.wording
            if (number := numbers.get(id(text))) is None:
                number = numbers[id(text)] = len(texts)
                texts.append(text.text)
            decisions.append(f'["{tag}","{masked(decision.determined_by, pad)}",{number}]')
        return f'{{"decisions":[{",".join(decisions)}],"wordings":[{",".join(texts)}]}}'.encode()

    def entry(self, digest: str) -> bytes:
        """The leaf of the read log; `digest`: SHA-256 of the list, in hex."""
        now = self.rulings[0].moment
        at, consent = datetime.fromtimestamp(now.second, UTC), now.point
        return DecisionBatch(
            self.action, at, consent, len(self.rulings), digest, self.service
        ).encode()

    def alone(self, place: int) -> bytes:
        """See `gate.readlog.writer.Many`."""
        return self.rulings[place].entry(None)


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


def moment(second: int, point: ConsentPoint, action: str = "evaluate") -> Moment:
    """The beginning of entries at `second` (since 1970, UTC) and this ledger position."""
    at = datetime.fromtimestamp(second, UTC)
    begins = (
        f'{{"action":"{action}","at":{_text(at)},"cohort":null,"consent":{_text(point)},'
        '"determined_by":'
    )
    return Moment(second, consent_bits.minute(at), point, begins)


@lru_cache(maxsize=REMEMBERED)
def wording(plan: Plan, fields: tuple[str, ...], verdict: Verdict) -> EntryText:
    """The cached text of a verdict under a plan."""
    return worded(plan.service, plan.scene.id, plan, fields, verdict)


def worded(
    service: str, scene: str, plan: Plan | None, fields: tuple[str, ...], verdict: Verdict
) -> EntryText:
    """Uncached form of `wording`, which also works without a plan (unknown scene)."""
    synthetic = plan is not None and View.SYNTHETIC in verdict.views.values()
    middle = _Middle(
        fields=fields,
        plan=plan.digest if plan else "",
        reason=verdict.reason,
        release=plan.release if plan and synthetic else None,
        rows=1 if verdict.views else 0,
        scene=scene,
        service=service,
    )
    views, begins = _text(dict(verdict.views)), _text(middle)[1:-1]
    reason, decided = _text(verdict.reason), _text(verdict.allowed)
    return EntryText(
        service=service,
        allowed=verdict.allowed,
        reason=verdict.reason,
        rests=bool(verdict.views),
        middle=f',{begins},"subject":',
        ends=f',"views":{views}}}',
        closes=f',"reason":{reason},"views":{views}}},"decision":{decided}}}',
        text=f'{{{begins},"views":{views}}}',
    )


def _text(value: datetime | ConsentPoint | _Middle | Mapping[str, View] | Reason | bool) -> str:
    return _ENCODER.encode(value).decode()
