"""Decides a stream's rows again, piece by piece, just before they leave.

A long answer is decided once, and its entry is written before its first byte. Customers withdraw
while it leaves: from the moment they have the receipt, no piece that is handed over has their row.
A piece is so small that the operating system's socket takes it whole (gate.http.connection), so
nothing that was decided waits in this process.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import monotonic
from typing import Any

import numpy as np
import numpy.typing as npt

from gate.policy.compiled import Plan
from gate.reads.bulk import record_batches
from gate.reads.bulk.groups import WholeGroups
from gate.reads.point import Gate
from gate.state import consent_bits
from gate.state.customer_numbers import NOBODY, Numbers
from gate.state.ledger_position import ConsentPoint

Batches = Iterator[Any]  # Arrow record batches
PIECE_BYTES = 1 << 16  # of an answer, about


class ScenePausedError(Exception):
    """The scene was suspended while its rows were leaving. No further row leaves."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """The customers whose rows an answer may have, as decided at one ledger position.

    Where silence covers all that is read (legitimate interest) there are more, who never said
    anything: all of the source but those `objecting`.
    """

    subjects: list[str]
    numbers: Numbers  # of these, as sets in the read log name them
    point: ConsentPoint
    rows: npt.NDArray[np.int64]  # in the consent state, in the order of `subjects`
    replays: int  # of that state: after another one, rows are other customers
    began: float  # on the monotonic clock, in seconds
    erasures: int  # how many customers were erased by then
    objecting: list[str] | None = None  # None: only `subjects` are admitted


def admitted(gate: Gate, plan: Plan, wanted: int, at: datetime, minimum_size: int) -> Admitted:
    """The customers who grant the fields `wanted` (bits) at `at`. Raises StaleStateError."""
    with gate.lock:
        state, point = gate.current(minimum_size)
        members = gate.members(plan, wanted, at)
        selected, replays = state.subjects.selected(members), state.replays
        silent = state.silence_covers(plan.scene.id, wanted)
        others = state.subjects.selected(~members) if silent else None
        erasures = state.erasures
    began, numbers = monotonic(), gate.numbers.of_rows(replays, selected)
    objecting = None if others is None else others.names()
    rows = selected.rows
    return Admitted(selected.names(), numbers, point, rows, replays, began, erasures, objecting)


class Recheck:
    """Takes rows out of a stream whose customers no longer grant them. For one answer.

    Time passes as on the monotonic clock since the answer was decided at `at`, so that grants that
    expire meanwhile end as well.
    """

    def __init__(
        self,
        gate: Gate,
        plan: Plan,
        wanted: int,
        at: datetime,
        who: Admitted,
        group: int | None = None,
    ) -> None:
        """`group`: how many alike rows leave together, if the contract serves statistics only."""
        self._group = group
        self._gate, self._plan, self._wanted, self._at, self._who = gate, plan, wanted, at, who
        self._decided = who.point.size, consent_bits.minute(at)
        self._gone: Sequence[str] = ()
        self._erasures = who.erasures
        self.taken_out = 0  # rows, once the batches have ended
        self.missed: list[str] = []  # their customers

    def batches(self, key: str, batches: Batches) -> Batches:
        """The batches, in pieces, without rows of customers who no longer grant them.

        `key`: the column with the customer's id. Raises ScenePausedError, and what following the
        ledger raises: then the answer ends without its end mark.
        """
        if self._group is not None:
            yield from self._in_groups(WholeGroups(key, self._group), key, batches)
            return
        for batch in batches:
            self.taken_out += batch.num_rows
            left, decided = batch, None
            while left.num_rows:
                gone = self._no_longer()
                if decided != (self._decided, self._erasures):
                    decided = self._decided, self._erasures
                    left = self._still_granted(key, left, gone)
                rows = record_batches.rows_in(left, PIECE_BYTES)
                piece, left = left.slice(0, rows), left.slice(rows)
                self.taken_out -= piece.num_rows
                yield piece

    def _in_groups(self, groups: WholeGroups, key: str, batches: Batches) -> Batches:
        """Whole groups only, in batches as they come: a group may be in several pieces."""
        for batch in batches:
            self.taken_out += batch.num_rows
            rows = groups.with_waiting(batch)
            left = groups.take(self._still_granted(key, rows, self._no_longer()))
            self.taken_out -= left.num_rows
            yield left
        if groups.left is not None:
            self.missed += map(str, groups.left.to_pylist())

    def _still_granted(self, key: str, rows: Any, customers: Sequence[str]) -> Any:
        """The rows without those of these customers, and of those who were erased."""
        import pyarrow as pa
        import pyarrow.compute as pc

        gone = [*customers, *self._erased(key, rows)]
        if not gone:
            return rows
        ids = rows.schema.field(key).type
        theirs = pc.is_in(rows[key], value_set=pa.array(gone, pa.string()).cast(ids))
        if pc.any(theirs).as_py():
            self.missed += map(str, rows[key].filter(theirs).to_pylist())
        return rows.filter(pc.invert(theirs))

    def _erased(self, key: str, rows: Any) -> Iterator[str]:
        """Those in the rows who said nothing and were erased since the answer was decided.

        The state never had a row of them.
        """
        if self._who.objecting is None or self._erasures == self._who.erasures:
            return
        names = [str(each) for each in rows[key].to_pylist()]
        numbers = self._gate.numbers.of_names(names).tolist()
        yield from (name for name, each in zip(names, numbers, strict=True) if each == NOBODY)

    def _no_longer(self) -> Sequence[str]:
        """The admitted customers who do not grant the fields any more."""
        gate, who = self._gate, self._who
        at = self._at + timedelta(seconds=monotonic() - who.began)
        with gate.lock:
            if self._plan.scene.id in gate.suspended or gate.options.clock_doubt():
                raise ScenePausedError(self._plan.scene.id)
            state, point = gate.current(0)
            decided = point.size, consent_bits.minute(at)
            if decided == self._decided:
                return self._gone
            members = gate.members(self._plan, self._wanted, at)
            names, self._erasures = None, state.erasures
            others = None if who.objecting is None else state.subjects.selected(~members)
            if state.replays != who.replays:
                names = state.subjects.selected(members)
        if names is None:
            places = np.flatnonzero(~members[who.rows])
            self._gone = [who.subjects[place] for place in places.tolist()]
        else:
            still = {*names.names()}
            self._gone = [each for each in who.subjects if each not in still]
        if others is not None:
            self._gone = [*self._gone, *others.names()]
        self._decided = decided
        return self._gone
