"""What is recorded of a customer before an import, and which rows may be added to it.

A row is added unless it repeats something, or something that is recorded prevails. What the
customer decided here prevails over every grant, and over each withdrawal that is older.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from ledger import clock
from ledger.events import reducer
from ledger.events.acts import SourceDeleted
from ledger.events.envelope import EvidenceClass, Imported, Withdrawn
from ledger.events.reducer import ConsentState, SceneConsent, SceneWithdrawal
from ledger.reader import RecordedInstruction
from portal.imports import moment
from portal.imports.moment import SECOND, StatedTime
from portal.imports.row import ImportRow

Last = SceneConsent | SceneWithdrawal | None
_Statement = tuple[str | None, object]  # a scene, and what was stated of it


class Obstacle(Enum):
    """Why a row is not recorded."""

    REPEATED = "it is recorded already"
    PREVAILED = "something that is recorded prevails"
    UNCLEAR = "a withdrawal that may have to end something, and may not"


@dataclass(frozen=True, slots=True)
class Earlier:
    """One customer's record before the import.

    `own`: when they last decided each scene here. `signs`: whether only their key may allow
    anything. `into`: the number that the company gave them since. `joined`: when it last merged,
    split or renamed them.
    """

    state: ConsentState | None
    own: Mapping[str, datetime]
    signs: bool
    into: str | None
    joined: datetime | None
    latest: Mapping[str, datetime]  # by scene: the newest instruction
    statements: Mapping[_Statement, Sequence[datetime]]

    def last(self, scene: str) -> Last:
        return self.state.last(scene) if self.state else None

    def obstacle(self, each: ImportRow) -> tuple[Obstacle, str] | None:
        """What keeps the row from being recorded, and why in words; None if nothing does."""
        if self.into is not None:
            if each.moment.at in self.statements.get((each.scene, each.statement), ()):
                return Obstacle.REPEATED, ""
            kind = Obstacle.PREVAILED if each.granted else Obstacle.UNCLEAR
            return (
                kind,
                f"the company gave this customer the number {self.into!r}: write that number",
            )
        if self._repeats(each):
            return Obstacle.REPEATED, ""
        if each.scene in self.own or (self.signs and each.granted):
            return self._against_own(each)
        if each.granted and self.joined is not None and each.moment.at <= self.joined:
            joined = "given before the company merged, split or renamed the customer"
            return Obstacle.PREVAILED, joined
        why = self._superseded(each)
        return None if why is None else (Obstacle.PREVAILED, why)

    def time(self, each: ImportRow) -> datetime:
        """The time to record: the row's, or that of the instruction it replaces if that is later.

        Of a withdrawal that is known to the day only it is the day's last second, so that no grant
        of that day in another file is taken for a later one.
        """
        last = self.last(each.scene)
        at = each.moment.at if each.granted else min(each.moment.last, clock.now())
        return at if last is None else max(at, last.at)

    def _repeats(self, each: ImportRow) -> bool:
        last, key = self.last(each.scene), (each.scene, each.statement)
        if each.granted:
            return each.moment.at in self.statements.get(key, ()) or _same(each, last)
        recorded = self.statements.get(key, ())
        stated = any(each.moment.at <= at <= each.moment.last for at in recorded)
        return (stated and _has_ended(each, last)) or _same(each, last)

    def _against_own(self, each: ImportRow) -> tuple[Obstacle, str] | None:
        """An own decision prevails, but not over a withdrawal that is certainly newer."""
        decided = Obstacle.PREVAILED, f"the customer decided {each.scene} here"
        if each.granted or not isinstance(self.last(each.scene), SceneConsent):
            return decided
        own = StatedTime(moment.recorded(self.own[each.scene]).begin, SECOND)
        if not each.moment.overlaps(own):
            return None if each.moment.begin > own.begin else decided
        return Obstacle.UNCLEAR, (
            "want a time that shows whether this withdrawal is newer than the customer's own "
            f"decision on {each.scene} at {self.own[each.scene]:%Y-%m-%d %H:%M:%S}, found one that "
            "does not: write it to the second"
        )

    def _superseded(self, each: ImportRow) -> str | None:
        """Why something recorded prevails over this row; None if the row prevails.

        The newer one prevails; if the two times cannot be put in order, the narrower one. A grant
        must be newer than what last took items away, too.
        """
        last = self.last(each.scene)
        if last is None:
            return None
        at = max(last.at, self.latest.get(each.scene, last.at)) if each.granted else last.at
        before = moment.recorded(at)
        if not each.moment.overlaps(before):
            newer = before.begin > each.moment.begin
            return f"a newer instruction on {each.scene} exists here" if newer else None
        if not each.granted or (isinstance(last, SceneConsent) and _narrows(each, last)):
            return None
        return (
            f"an instruction on {each.scene} exists here whose time cannot be told from this one's"
        )


def of(history: Sequence[RecordedInstruction], state: ConsentState | None) -> Earlier:
    """What is recorded of the customer with this history."""
    statements: dict[_Statement, list[datetime]] = defaultdict(list)
    latest: dict[str, datetime] = {}
    own: dict[str, datetime] = {}
    for each in history:
        event, scene = each.event, getattr(each.event.act, "scene", None)
        statements[scene, _statement(each)].append(event.at)
        if scene is not None:
            latest[scene] = max(event.at, latest.get(scene, event.at))
            if event.evidence is not EvidenceClass.IMPORTED:
                own[scene] = max(event.at, own.get(scene, event.at))
    last = history[-1].event.act if history else None
    return Earlier(
        state,
        own,
        bool(state and state.authority.keys),
        last.into if isinstance(last, SourceDeleted) else None,
        reducer.joined_at(each.event for each in history),
        latest,
        statements,
    )


def _statement(each: RecordedInstruction) -> object:
    """What an instruction states, as `ImportRow.statement` has it; None if no row states it."""
    match each.event.act:
        case Imported(_, fields, until):
            return True, fields, until
        case Withdrawn(_, fields):
            return False, fields or (), None
        case _:
            return None


def _same(each: ImportRow, last: Last) -> bool:
    """Whether `last` states the same as the row, and their times overlap."""
    if last is None or not each.moment.overlaps(moment.recorded(last.at)):
        return False
    if isinstance(last, SceneConsent):
        return each.granted and (last.fields, last.until) == (frozenset(each.fields), each.until)
    return not each.granted


def _has_ended(each: ImportRow, last: Last) -> bool:
    """Whether nothing is left that the withdrawal may have to end."""
    if not isinstance(last, SceneConsent):
        return True
    gone = bool(each.fields) and last.fields.isdisjoint(each.fields)
    return gone or moment.recorded(last.at).begin >= each.moment.end


def _narrows(each: ImportRow, last: SceneConsent) -> bool:
    earlier = last.until is None or (each.until is not None and each.until <= last.until)
    return earlier and last.fields.issuperset(each.fields)
