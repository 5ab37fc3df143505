"""The review queue: high-risk operations wait for a person, who approves, edits or refuses (M25).

A service proposes; what is high risk, by its own declaration or by its words, waits. The customer's
name stands in the table of what waits only as long as it waits; the text is sealed under their
key. Every step is an entry of the register. The clauses are in specs/health.md, "Review".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from sqlite3 import Connection

from steward.oversight import risk
from steward.oversight.register import Register, RegisterEntry, Writing
from steward.oversight.risk import Operation

SCHEMA = """
CREATE TABLE IF NOT EXISTS waiting (
  number INTEGER PRIMARY KEY, subject TEXT NOT NULL, deadline INTEGER NOT NULL);
"""
PROPOSED, DECIDED = "proposed", "decided"
MAX_TEXT = 20_000  # characters


class ReviewOutcome(StrEnum):
    APPROVE = "approve"
    EDIT = "edit"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Proposal:
    """What a service is about to do, in the words in which it would do it."""

    service: str
    subject: str
    text: str
    declared: frozenset[str] = frozenset()  # operations the service itself names


@dataclass(frozen=True, slots=True)
class PendingProposal:
    """A proposal that nobody has decided yet. `text` is None if the customer was erased."""

    number: int
    service: str
    operations: tuple[str, ...]
    subject: str
    text: str | None
    at: datetime
    deadline: datetime

    def overdue(self, at: datetime) -> bool:
        return at > self.deadline


@dataclass(frozen=True, slots=True)
class ReviewDecision:
    """What a person decided. `text`: what may be carried out; None if nothing may."""

    proposal: int
    verdict: ReviewOutcome
    by: str
    reason: str
    text: str | None
    at: datetime


class ReviewError(ValueError):
    """The decision cannot be recorded as it stands. Nothing changed."""


class NotWaitingError(ReviewError):
    """The proposal does not exist, or somebody has decided it."""


class Reviews:
    """Thread-safe, over a register made with `SCHEMA`."""

    def __init__(self, register: Register, operations: Mapping[str, Operation]) -> None:
        self._register, self._operations = register, operations

    def propose(self, proposal: Proposal, at: datetime) -> int | None:
        """The number under which it waits; None if it needs no review. Durable when it returns.

        Raises ReviewError for an operation nobody knows or a text that is too long, and
        UnsealableError for a customer without a key.
        """
        if unknown := proposal.declared - self._operations.keys():
            raise ReviewError(f"operations {sorted(unknown)}, want some of {[*self._operations]}")
        if len(proposal.text) > MAX_TEXT:
            raise ReviewError(f"{len(proposal.text)} characters, want at most {MAX_TEXT}")
        found = risk.detect(self._operations.values(), proposal.text) | proposal.declared
        if not found:
            return None
        at = at.astimezone(UTC).replace(microsecond=0)
        deadline = at + min(self._operations[each].within for each in found)
        shown = {
            "service": proposal.service,
            "operations": sorted(found),
            "deadline": int(deadline.timestamp()),
        }
        with self._register.writing() as writing:
            private = {"text": proposal.text}
            number = writing.append(PROPOSED, proposal.subject, shown, private, at)
            row = [number, proposal.subject, int(deadline.timestamp())]
            writing.database.execute("INSERT INTO waiting VALUES (?, ?, ?)", row)
        return number

    def waiting(self) -> list[PendingProposal]:
        """What waits, the earliest deadline first."""
        sql = "SELECT number, subject FROM waiting ORDER BY deadline, number"
        with self._register.reading() as database:
            names = dict(database.execute(sql).fetchall())
        oldest = min(names, default=0)  # what was decided long ago is not read again
        proposed = {each.number: each for each in self._register.entries(PROPOSED, since=oldest)}
        return [self._waiting(proposed[number], subject) for number, subject in names.items()]

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
        """Record a person's decision, once. Durable when it returns.

        `text`: the new words of an edit. Raises NotWaitingError or ReviewError.
        """
        if not by.strip() or not reason.strip():
            raise ReviewError("a decision without a name or a reason, want both")
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
            ruling = ReviewDecision(number, verdict, by, reason, released, at)
            _log(writing, ruling, subject if proposed is not None else None)
        return ruling

    def decision(self, number: int, subject: str, service: str) -> ReviewDecision | None:
        """What was decided of a proposal, for the service that waits for it.

        None: not yet, or no such proposal of this service about this customer.
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
        )


def _log(writing: Writing, ruling: ReviewDecision, subject: str | None) -> None:
    """`subject`: None if they were erased; then only that it was refused is kept."""
    shown = {"proposal": ruling.proposal, "verdict": ruling.verdict.value, "by": ruling.by}
    private = {"reason": ruling.reason, "text": ruling.text} if subject is not None else None
    writing.append(DECIDED, subject, shown, private, ruling.at)


def _take(database: Connection, number: int) -> str:
    """Take a proposal out of what waits; whose it is. Only one decision ever succeeds."""
    sql = "DELETE FROM waiting WHERE number = ? RETURNING subject"
    found = database.execute(sql, [number]).fetchone()
    if found is None:
        raise NotWaitingError(f"proposal {number} does not wait: it was decided, or never made")
    return str(found[0])
