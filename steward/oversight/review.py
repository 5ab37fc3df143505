"""The review queue: high-risk operations wait for a person, who approves, edits or refuses (M25).

A service proposes an operation; if it is high-risk, as declared or as detected in its text, it
waits. The table of pending proposals has the customer's id only while they wait; the text is
encrypted under the customer's key. Every step is an entry of the register. Normative clauses:
specs/health.md, "Review".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from sqlalchemy import bindparam, delete, func, insert, select
from sqlalchemy.engine import Connection

from steward.oversight import risk
from steward.oversight.register import Register, RegisterEntry, Writing
from steward.oversight.risk import Operation
from steward.storage.register import WAITING

PROPOSED, DECIDED = "proposed", "decided"
MAX_TEXT = 20_000  # characters

_ADD = insert(WAITING)
_PENDING = select(WAITING.c.number, WAITING.c.subject).order_by(
    WAITING.c.deadline, WAITING.c.number
)
_COUNT = select(func.count(), func.min(WAITING.c.deadline))
_TAKE = delete(WAITING).where(WAITING.c.number == bindparam("which")).returning(WAITING.c.subject)


class ReviewOutcome(StrEnum):
    APPROVE = "approve"
    EDIT = "edit"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Proposal:
    """An operation that a service intends, with the text it would send."""

    service: str
    subject: str
    text: str
    declared: frozenset[str] = frozenset()  # operations that the service declares
    on_behalf_of: str | None = None  # id of the person for whom the service asks


@dataclass(frozen=True, slots=True)
class PendingProposal:
    """A proposal without a decision. `text`: None if the customer was erased."""

    number: int
    service: str
    operations: tuple[str, ...]
    subject: str
    text: str | None
    at: datetime
    deadline: datetime
    on_behalf_of: str | None

    def overdue(self, at: datetime) -> bool:
        return at > self.deadline


@dataclass(frozen=True, slots=True)
class ReviewDecision:
    """A person's decision. `text`: the text that may be used; None if refused."""

    proposal: int
    verdict: ReviewOutcome
    by: str
    reason: str
    text: str | None
    at: datetime


class ReviewError(ValueError):
    """The proposal or decision is invalid. Nothing changed."""


class NotWaitingError(ReviewError):
    """The proposal does not exist or is already decided."""


class Reviews:
    """The review queue, over a register. Thread-safe."""

    def __init__(self, register: Register, operations: Mapping[str, Operation]) -> None:
        self._register, self._operations = register, operations

    def propose(self, proposal: Proposal, at: datetime) -> int | None:
        """Queue a proposal and return its number; None if it needs no review. Durable on return.

        Raises ReviewError for an unknown operation or a text that is too long, and UnsealableError
        for a customer without a data key.
        """
        if unknown := proposal.declared - self._operations.keys():
            raise ReviewError(f"operations {sorted(unknown)}, want some of {[*self._operations]}")
        if len(proposal.text) > MAX_TEXT:
            raise ReviewError(f"{len(proposal.text)} characters, want at most {MAX_TEXT}")
        operations = risk.detect(self._operations.values(), proposal.text) | proposal.declared
        if not operations:
            return None
        at = at.astimezone(UTC).replace(microsecond=0)
        deadline = at + min(self._operations[each].within for each in operations)
        shown = {
            "service": proposal.service,
            "operations": sorted(operations),
            "deadline": int(deadline.timestamp()),
        }
        with self._register.writing() as writing:
            private = {"text": proposal.text}
            if proposal.on_behalf_of is not None:
                private["on_behalf_of"] = proposal.on_behalf_of
            number = writing.append(PROPOSED, proposal.subject, shown, private, at)
            row = {"number": number, "subject": proposal.subject, "deadline": shown["deadline"]}
            writing.database.execute(_ADD, row)
        return number

    def waiting(self, limit: int | None = None, offset: int = 0) -> list[PendingProposal]:
        """The pending proposals, earliest deadline first; at most `limit`, without the first
        `offset`. The table of pending proposals is sorted, and only those asked for are read."""
        query = _PENDING.limit(limit).offset(offset)
        with self._register.reading() as database:
            names = {row.number: row.subject for row in database.execute(query)}
        proposed = {each.number: each for each in self._register.numbered([*names])}
        return [self._waiting(proposed[number], subject) for number, subject in names.items()]

    def pending(self) -> tuple[int, datetime | None]:
        """How many proposals are pending, and the earliest deadline."""
        with self._register.reading() as database:
            count, first = database.execute(_COUNT).one()
        return count, None if first is None else datetime.fromtimestamp(first, UTC)

    def decide(
        self,
        number: int,
        verdict: ReviewOutcome,
        *,
        by: str,
        reason: str,
        at: datetime,
        text: str | None = None,
    ) -> ReviewDecision:
        """Record a person's decision on a proposal, once. Durable when it returns.

        `text`: the new words of an edit. Raises NotWaitingError or ReviewError.
        """
        if not by.strip() or not reason.strip():
            raise ReviewError("a decision needs a name and a reason")
        if (verdict is ReviewOutcome.EDIT) is not bool(text and text.strip()):
            raise ReviewError(
                f"{verdict} with{'' if text else 'out'} new words, want them for edit only"
            )
        with self._register.writing() as writing:
            subject = _take(writing.database, number)
            proposed = self._register.private(number, subject)
            released = (
                None if verdict is ReviewOutcome.REFUSE else (text or (proposed or {}).get("text"))
            )
            if verdict is not ReviewOutcome.REFUSE and proposed is None:
                raise ReviewError("the customer was erased: it can only be refused")
            decision = ReviewDecision(number, verdict, by, reason, released, at)
            _log(writing, decision, subject if proposed is not None else None)
        return decision

    def decision(self, number: int, subject: str, service: str) -> ReviewDecision | None:
        """The decision on a proposal, for the service that made it.

        None if it is pending, or if this service made no such proposal about this customer.
        """
        proposed = {e.number: e.open["service"] for e, _ in self._register.of(subject, PROPOSED)}
        if proposed.get(number) != service:
            return None
        for entry, private in self._register.of(subject, DECIDED):
            if entry.open["proposal"] == number:
                return ReviewDecision(
                    number,
                    ReviewOutcome(entry.open["verdict"]),
                    entry.open["by"],
                    private.get("reason", ""),
                    private.get("text"),
                    entry.at,
                )
        return None

    def _waiting(self, entry: RegisterEntry, subject: str) -> PendingProposal:
        private = self._register.private(entry.number, subject) or {}
        return PendingProposal(
            entry.number,
            entry.open["service"],
            tuple(entry.open["operations"]),
            subject,
            private.get("text"),
            entry.at,
            datetime.fromtimestamp(entry.open["deadline"], UTC),
            private.get("on_behalf_of"),
        )


def _log(writing: Writing, decision: ReviewDecision, subject: str | None) -> None:
    """Record a decision. `subject`: None if erased; then only the refusal is recorded."""
    shown = {"proposal": decision.proposal, "verdict": decision.verdict.value, "by": decision.by}
    private = {"reason": decision.reason, "text": decision.text} if subject is not None else None
    writing.append(DECIDED, subject, shown, private, decision.at)


def _take(database: Connection, number: int) -> str:
    """Remove a pending proposal and return its customer; succeeds once per proposal."""
    subject: str | None = database.execute(_TAKE, {"which": number}).scalar()
    if subject is None:
        raise NotWaitingError(f"proposal {number} is not pending: it is decided, or does not exist")
    return subject
