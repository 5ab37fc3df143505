"""Is a history of decisions linearizable? In O(n log n), for any number of processes.

Twice, independently. By what customers see: a decision must be one that some moment between its
question and its answer justifies. By what gates say: each decision names the ledger size it rests
on; these sizes put all decisions and acts into one order, which must explain every answer and must
agree with the clock. One writer gives the acts their order, so such an order is a linearization.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

DECISION = np.dtype(
    [("who", "u1"), ("allowed", "?"), ("size", "i8"), ("start", "i8"), ("end", "i8")]
)
ACT = np.dtype([("who", "u1"), ("granted", "?"), ("index", "i8"), ("start", "i8"), ("end", "i8")])


@dataclass(frozen=True)
class Verdict:
    decisions: int
    permits: int
    acts: int
    kills: int
    wrong: int  # decisions that no moment between question and answer justifies
    late: int  # of these, permits after a withdrawal's receipt
    unfounded: int  # decisions that the ledger size they name does not explain
    stale: int  # ... whose size lacks an act that had its receipt before the question
    early: int  # ... whose size has an act that had not begun before the answer
    turned: int  # ... whose size is smaller than that of a decision before the question

    @property
    def linearizable(self) -> bool:
        return not (self.wrong or self.unfounded or self.stale or self.early or self.turned)


def judge(decisions: Array, acts: Array, before: int = 0, kills: int = 0) -> Verdict:
    """`acts` in the order of the one writer; `before`: entries of the ledger before the first."""
    wrong = late = unfounded = 0
    for who in np.unique(decisions["who"]):
        mine, told = decisions[decisions["who"] == who], acts[acts["who"] == who]
        bad = _unjustified(mine, told)
        wrong += int(bad.sum())
        late += int((bad & mine["allowed"]).sum())
        unfounded += int((mine["allowed"] != _state(told, mine["size"])).sum())
    sizes = np.concatenate([[before], acts["index"] + 1])
    least = sizes[np.searchsorted(acts["end"], decisions["start"], side="right")]
    most = sizes[np.searchsorted(acts["start"], decisions["end"], side="right")]
    return Verdict(
        decisions=len(decisions),
        permits=int(decisions["allowed"].sum()),
        acts=len(acts),
        kills=kills,
        wrong=wrong,
        late=late,
        unfounded=unfounded,
        stale=int((decisions["size"] < least).sum()),
        early=int((decisions["size"] > most).sum()),
        turned=_turned(decisions),
    )


def _unjustified(mine: Array, told: Array) -> Array:
    """Which decisions of one customer hold at no moment between question and answer.

    State 0 is "never granted"; state i holds after act i, which takes effect at some moment
    between its start and its end.
    """
    granted = np.concatenate([[False], told["granted"]])
    permits = np.concatenate([[0], np.cumsum(granted)])
    first = np.searchsorted(told["end"], mine["start"], side="right")
    last = np.searchsorted(told["start"], mine["end"], side="right")
    count = permits[last + 1] - permits[first]
    could_permit, could_deny = count > 0, count < last + 1 - first
    return np.asarray(np.where(mine["allowed"], ~could_permit, ~could_deny))


def _state(told: Array, sizes: Array) -> Array:
    """Whether the customer's grant is among the first so many entries, and not withdrawn there."""
    granted = np.concatenate([[False], told["granted"]])
    return np.asarray(granted[np.searchsorted(told["index"], sizes, side="left")])


def _turned(decisions: Array) -> int:
    """How many see less of the ledger than one that was answered before they were asked."""
    order = np.argsort(decisions["end"], kind="stable")
    ends = decisions["end"][order]
    seen = np.concatenate([[0], np.maximum.accumulate(decisions["size"][order])])
    before = seen[np.searchsorted(ends, decisions["start"], side="left")]
    return int((decisions["size"] < before).sum())
