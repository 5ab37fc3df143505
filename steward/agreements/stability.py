"""The authorisation stability coefficient: how steady a customer's choices are (M21).

For one scene: the share of the time looked at in which the customer's choice was what it is now.
For the customer: the mean over all scenes that ask for consent. It looks at the last 365 days, or
since the first instruction if that is later. Exact, in whole seconds; None while no whole second
has passed.

    granted 73 days ago after 292 days without      73 / 365 = 1/5
    never touched, or unchanged for a year          1

It says nothing about how much is allowed: a steady refusal is as stable as a steady permission, so
that no figure rewards consent. It is personal data like any other: the field
`authorisation_stability`, read through the gate under a grant of its own.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any, Protocol

from gate.contracts.scene import Scene
from gate.reads.sources.interface import RowSource, SourceUnavailableError
from ledger.clock import now
from ledger.events.envelope import Instruction
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
    said = [each for each in history if isinstance(each.event, Instruction) and each.event.at <= at]
    switchable = [scene.id for scene in scenes.values() if not scene.locked]
    if not said or not switchable:
        return None
    assert isinstance(said[0].event, Instruction)  # noqa: S101 - filtered above
    begin = max(said[0].event.at, at - WINDOW)
    if at - begin < SECOND:
        return None
    turns = _turns(said, switchable)
    shares = [_share(turns[scene], begin, at) for scene in switchable]
    return sum(shares, Fraction()) / len(shares)


def ten_thousandths(share: Fraction | None) -> int | None:
    """Rounded down."""
    return None if share is None else int(share * TEN_THOUSAND)


def _turns(said: Sequence[RecordedEvent], switchable: Sequence[str]) -> dict[str, list[Turn]]:
    """By scene, when the choice became what."""
    turns: dict[str, list[Turn]] = {scene: [] for scene in switchable}
    state: ConsentState | None = None
    for each in said:
        assert isinstance(each.event, Instruction)  # noqa: S101 - the caller chose instructions
        state = apply(state, each.event, each.index)
        scene = each.event.scene
        if scene is not None and scene in turns:
            held = state.scenes.get(scene)
            choice = held.fields if isinstance(held, SceneConsent) else frozenset()
            turns[scene].append((each.event.at, choice))
    return turns


def _share(turns: Sequence[Turn], begin: datetime, end: datetime) -> Fraction:
    """The share of [begin, end), at least one second, in which the choice was the last one."""
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
    """A source of personal rows to which the coefficient is added when it is asked for.

    Nothing is stored: the figure comes from the ledger at the moment of the read, and is gone when
    the customer's key is. `key`: the column that names the customer.
    """

    def __init__(
        self,
        inner: RowSource,
        ledger: Histories,
        scenes: Mapping[str, Scene],
        clock: Callable[[], datetime] = now,
        key: str = "id",
    ) -> None:
        self._inner, self._ledger, self._scenes = inner, ledger, scenes
        self._clock, self.key = clock, key

    def row(self, subject: str, columns: Sequence[str]) -> Mapping[str, Any] | None:
        if FIELD not in columns:
            return self._inner.row(subject, columns)
        found = self._inner.row(subject, [self.key, *(each for each in columns if each != FIELD)])
        if found is None:
            return None
        whole = {**found, FIELD: self._of(subject)}
        return {name: whole[name] for name in columns}

    def rows(self, subjects: Sequence[str], columns: Sequence[str]) -> Any:
        if FIELD not in columns:
            return self._inner.rows(subjects, columns)
        others = [each for each in columns if each not in {FIELD, self.key}]
        return self._joined(self._inner.rows(subjects, [self.key, *others]), subjects, columns)

    def everybody(self, columns: Sequence[str]) -> Any:
        if FIELD in columns:
            raise SourceUnavailableError(f"{FIELD} rests on consent: it is read by customer only")
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
