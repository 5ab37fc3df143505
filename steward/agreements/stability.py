"""The authorisation stability coefficient: how steady a customer's choices are (M21).

For one scene it is the share of the period in which the customer's choice was the present one; for
the customer, the mean over all scenes that need consent. The period is the last 365 days, or since
the first instruction if that is later. It is an exact fraction, in whole seconds; None while no
whole second has passed.

    granted 73 days ago after 292 days without      73 / 365 = 1/5
    never touched, or unchanged for a year          1

It does not depend on how much is allowed: a steady refusal is as stable as a steady permission, so
the figure does not reward consent. It is personal data: the field `authorisation_stability`, read
through the gate under its own grant.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any, Protocol

from gate.contracts.scene import Scene
from gate.reads.sources.interface import (
    Row,
    RowSource,
    SourceUnavailableError,
    each_row,
    one_by_one,
)
from ledger.clock import now
from ledger.events.envelope import Instruction, SourceDeleted
from ledger.events.reducer import ConsentState, SceneConsent, apply
from ledger.reader import RecordedEvent

FIELD = "authorisation_stability"
WINDOW = timedelta(days=365)
TEN_THOUSAND = 10_000
SECOND = timedelta(seconds=1)

Choice = frozenset[str]  # the fields granted in one scene
Turn = tuple[datetime, Choice]


def coefficient(
    history: Sequence[RecordedEvent], scenes: Mapping[str, Scene], at: datetime
) -> Fraction | None:
    """The coefficient of one customer's history at `at`. Pure."""
    instructions = [
        each for each in history if isinstance(each.event, Instruction) and each.event.at <= at
    ]
    switchable = [scene.id for scene in scenes.values() if scene.needs_consent]
    if not instructions or not switchable:
        return None
    assert isinstance(instructions[0].event, Instruction)  # noqa: S101 - filtered above
    begin = max(instructions[0].event.at, at - WINDOW)
    if at - begin < SECOND:
        return None
    turns = _turns(instructions, switchable)
    shares = [_share(turns[scene], begin, at) for scene in switchable]
    return sum(shares, Fraction()) / len(shares)


def ten_thousandths(share: Fraction | None) -> int | None:
    """Rounded down."""
    return None if share is None else int(share * TEN_THOUSAND)


def _turns(
    instructions: Sequence[RecordedEvent], switchable: Sequence[str]
) -> dict[str, list[Turn]]:
    """By scene, the times at which the choice changed, and the new choice."""
    turns: dict[str, list[Turn]] = {scene: [] for scene in switchable}
    state: ConsentState | None = None
    for each in instructions:
        assert isinstance(each.event, Instruction)  # noqa: S101 - the caller chose instructions
        state = apply(state, each.event, each.index)
        deleted = isinstance(each.event.act, SourceDeleted)
        for scene in (name for name in turns if deleted or name == each.event.scene):
            consent = state.last(scene)
            choice = consent.fields if isinstance(consent, SceneConsent) else frozenset()
            turns[scene].append((each.event.at, choice))
    return turns


def _share(turns: Sequence[Turn], begin: datetime, end: datetime) -> Fraction:
    """The share of [begin, end), at least one second, in which the choice equalled the last one."""
    now: Choice = turns[-1][1] if turns else frozenset()
    steady, since, choice = timedelta(), begin, frozenset[str]()
    for at, turned in [*turns, (end, now)]:
        if choice == now and at > since:
            steady += at - since
        since, choice = max(since, at), turned
    return Fraction(steady // SECOND, (end - begin) // SECOND)


class Histories(Protocol):
    """Customers' instructions: a ledger, or a follower of one."""

    def history(self, subject: str) -> Sequence[RecordedEvent]:
        """Every instruction of the subject, oldest first."""
        ...


class WithStability:
    """Wraps a source of personal rows and adds the coefficient when it is requested.

    Nothing is stored: it is computed from the ledger at each read, and is gone with the customer's
    key.
    """

    def __init__(
        self,
        inner: RowSource,
        ledger: Histories,
        scenes: Mapping[str, Scene],
        clock: Callable[[], datetime] = now,
    ) -> None:
        self._inner, self._ledger, self._scenes = inner, ledger, scenes
        self._clock, self.key = clock, inner.key

    def row(self, subject: str, columns: Sequence[str]) -> Mapping[str, Any] | None:
        if FIELD not in columns:
            return self._inner.row(subject, columns)
        values = self._inner.row(subject, [self.key, *(each for each in columns if each != FIELD)])
        if values is None:
            return None
        whole = {**values, FIELD: self._of(subject)}
        return {name: whole[name] for name in columns}

    def each_row(
        self, subjects: Sequence[str], columns: Sequence[str]
    ) -> Mapping[str, Row | SourceUnavailableError]:
        if FIELD not in columns:
            return each_row(self._inner, subjects, columns)
        return one_by_one(self.row, subjects, columns)

    def rows(self, subjects: Sequence[str], columns: Sequence[str]) -> Any:
        if FIELD not in columns:
            return self._inner.rows(subjects, columns)
        others = [each for each in columns if each not in {FIELD, self.key}]
        return self._joined(self._inner.rows(subjects, [self.key, *others]), subjects, columns)

    def everybody(self, columns: Sequence[str]) -> Any:
        if FIELD in columns:
            raise SourceUnavailableError(f"{FIELD} needs consent: read it by customer, not for all")
        return self._inner.everybody(columns)

    def count(self) -> int:
        return self._inner.count()

    def _of(self, subject: str) -> int | None:
        history = self._ledger.history(subject)
        return ten_thousandths(coefficient(history, self._scenes, self._clock()))

    def _joined(self, rows: Any, subjects: Sequence[str], columns: Sequence[str]) -> Any:
        import ibis
        import pyarrow as pa

        figures = pa.table(
            {
                self.key: pa.array(subjects, pa.string()),
                FIELD: pa.array([self._of(each) for each in subjects], pa.int64()),
            }
        )
        return rows.inner_join(ibis.memtable(figures), self.key).select(*columns)
