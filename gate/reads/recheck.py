"""Decides a stream's rows again, batch by batch, just before they leave.

A long answer is decided once, and its entry is written before its first byte. Customers withdraw
while it leaves: from the moment they have the receipt, no batch that is handed over has their row.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import monotonic
from typing import Any

import numpy as np
import numpy.typing as npt

from gate.decision import eligibility
from gate.policy.compiled import Plan
from gate.reads.point import Gate
from gate.state import consent_bits
from gate.state.ledger_position import ConsentPoint

Batches = Iterator[Any]  # Arrow record batches


class ScenePausedError(Exception):
    """The scene was suspended while its rows were leaving. No further row leaves."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """The customers whose rows an answer may have, as decided at one ledger position."""

    numbered: eligibility.Cohort  # as the read log numbers customers
    subjects: list[str]
    point: ConsentPoint
    rows: npt.NDArray[np.int64]  # in the consent state, in the order of `subjects`
    replays: int  # of that state: after another one, rows are other customers
    began: float  # on the monotonic clock, in seconds


def admitted(gate: Gate, plan: Plan, wanted: int, at: datetime, minimum_size: int) -> Admitted:
    """The customers who grant the fields `wanted` (bits) at `at`. Raises StaleStateError."""
    with gate.lock:
        state, point = gate.current(minimum_size)
        members = gate.members(plan, wanted, at)
        numbered, selected = state.numbered(members), state.subjects.selected(members)
        rows, replays = selected.rows, state.replays
    return Admitted(numbered, selected.names(), point, rows, replays, monotonic())


class Recheck:
    """Takes rows out of a stream whose customers no longer grant them. For one answer.

    Time passes as on the monotonic clock since the answer was decided at `at`, so that grants that
    expire meanwhile end as well.
    """

    def __init__(self, gate: Gate, plan: Plan, wanted: int, at: datetime, who: Admitted) -> None:
        self._gate, self._plan, self._wanted, self._at, self._who = gate, plan, wanted, at, who
        self._decided = who.point.size, consent_bits.minute(at)
        self._gone: Sequence[str] = ()
        self.taken_out = 0  # rows, so far

    def batches(self, key: str, batches: Batches) -> Batches:
        """The batches without rows of customers who no longer grant them.

        `key`: the column with the customer's id. Raises ScenePausedError, and what following the
        ledger raises: then the answer ends without its end mark.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        for batch in batches:
            if not (gone := self._no_longer()):
                yield batch
                continue
            ids = batch.schema.field(key).type
            theirs = pc.is_in(batch[key], value_set=pa.array(gone, ids))
            left = batch.filter(pc.invert(theirs))
            self.taken_out += batch.num_rows - left.num_rows
            yield left

    def _no_longer(self) -> Sequence[str]:
        """The admitted customers who do not grant the fields any more."""
        gate, who = self._gate, self._who
        at = self._at + timedelta(seconds=monotonic() - who.began)
        with gate.lock:
            if self._plan.scene.id in gate.suspended:
                raise ScenePausedError(self._plan.scene.id)
            state, point = gate.current(0)
            decided = point.size, consent_bits.minute(at)
            if decided == self._decided:
                return self._gone
            members = gate.members(self._plan, self._wanted, at)
            names = None
            if state.replays != who.replays:
                names = state.subjects.selected(members)
        if names is None:
            places = np.flatnonzero(~members[who.rows])
            self._gone = [who.subjects[place] for place in places.tolist()]
        else:
            still = {*names.names()}
            self._gone = [each for each in who.subjects if each not in still]
        self._decided = decided
        return self._gone
