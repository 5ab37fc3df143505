"""A customer's access to their own row, and what services would be answered about them now.

Access is logged like any read: an entry with the action `own`, which names no service and no scene,
rests on no instruction and gives nothing to anybody else. What services would be answered is
decided and drawn by the functions that answer them; it is not logged as theirs, since none of them
gets anything, and it uses up no quota. Clauses G310 to G313 of specs/gate.md.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gate.contracts.scene import ReadShape, Scene
from gate.decision.decide import Decision, Reason, View
from gate.readlog.writer import OWN, ReadLogEntry
from gate.reads.point import Gate
from gate.reads.request import DecidedRead, ReadRequest
from gate.reads.sources.interface import UNREADABLE, Row, SourceUnavailableError, each_row
from gate.reads.values import ValueReader
from gate.state.ledger_position import ConsentPoint


@dataclass(frozen=True, slots=True)
class OwnRow:
    """A customer's row, as the source gave it.

    `row`: None if the source has none, or nobody could find the entry yet; the
    error if the source is down.
    """

    subject: str
    row: Row | SourceUnavailableError | None

    @property
    def is_down(self) -> bool:
        return isinstance(self.row, SourceUnavailableError)

    @property
    def values(self) -> Mapping[str, Any]:
        """The values that can be shown, by item; empty if there is no row."""
        if self.row is None or isinstance(self.row, SourceUnavailableError):
            return {}
        return {name: value for name, value in self.row.items() if value is not UNREADABLE}


def read_own(gate: Gate, items: Sequence[str], subject: str, at: datetime) -> OwnRow:
    """The customer's values of all `items` and of the columns that mask free text.

    Its entry is durable when it returns. Raises JournalError; a source that is down is no error.
    """
    journal = gate.journal
    columns = (*dict.fromkeys((*items, *gate.options.known_by)),)
    found = journal.has_tags(subject) or not journal.awaited([subject])
    read = each_row(gate.source, [subject], columns).get(subject) if found else None
    own = OwnRow(subject, read)
    with gate.lock:
        _, point = gate.current(0)
    journal.record(_entry(own, items, at, point), subject)
    return own


def _entry(own: OwnRow, items: Sequence[str], at: datetime, point: ConsentPoint) -> ReadLogEntry:
    given = own.values
    return ReadLogEntry(
        action=OWN,
        at=at.replace(microsecond=0),
        service="",
        scene="",
        rows=1 if given else 0,
        fields=(*items,),
        views={name: View.PERSONAL if name in given else View.WITHHELD for name in items},
        reason=Reason.SOURCE_UNAVAILABLE if own.is_down else Reason.LEGAL_OBLIGATION,
        plan="",
        consent=point,
    )


@dataclass(frozen=True, slots=True)
class ForeseenAnswer:
    """What one service of one scene would be answered, if it asked for all that it may name.

    `views` and `values` are those of a read of this one customer: see `is_read_alone`.
    """

    scene: Scene
    service: str
    decision: Decision  # before the source was asked
    views: Mapping[str, View]
    values: Mapping[str, Any]

    @property
    def is_read_alone(self) -> bool:
        """Whether the contract lets a service read one customer by their number."""
        return ReadShape.POINT in self.scene.shapes


def foresee(gate: Gate, subject: str, at: datetime) -> list[ForeseenAnswer]:
    """The decisions alone, with the views that a source gives which has everything. No values.

    Reads, logs and counts nothing, and uses up no quota.
    """
    decided = _decided(gate, subject, at)
    return [_foreseen(scene, each, each.decision.views, {}) for scene, each in decided]


def foresee_values(gate: Gate, own: OwnRow, at: datetime) -> list[ForeseenAnswer]:
    """The same with the values, also those that are drawn, given what the source gave `own`."""
    decided = [*_decided(gate, own.subject, at)]
    reader = ValueReader(gate.source, gate.journal, gate.options.known_by, gate.served, gate.key)
    answered = reader.answered_from([each for _, each in decided], own.row)
    return [
        _foreseen(scene, each, one.read.decision.views, one.values)
        for (scene, each), one in zip(decided, answered, strict=True)
    ]


def _decided(gate: Gate, subject: str, at: datetime) -> Iterator[tuple[Scene, DecidedRead]]:
    for scene in gate.scenes.values():
        for service in scene.services:
            if (plan := gate.plan(service.id, scene.id)) is not None:
                fields = tuple(name for name, bit in plan.bits.items() if bit & plan.offered)
                request = ReadRequest(service.id, scene.id, subject, fields, at)
                decision = gate.decide(request)
                point = ConsentPoint(decision.ledger_size, "")
                yield scene, DecidedRead(request, plan, decision, point)


def _foreseen(
    scene: Scene, read: DecidedRead, views: Mapping[str, View], values: Mapping[str, Any]
) -> ForeseenAnswer:
    return ForeseenAnswer(scene, read.request.service, read.decision, views, values)
