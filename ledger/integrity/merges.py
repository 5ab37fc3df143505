"""Checks that what the company merged, split or renamed allows no more than before.

After a merge the customer allows nothing that the other one did not allow; after a split the new
customer allows nothing, and has refused what the other one had refused; after a rename the new
number allows what the old one did at most, for no longer. Which scenes silence allows is in the
contracts, so `silent` of a merge is believed.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from ledger.events.acts import Limited, Merged, Renamed, SourceDeleted, Split
from ledger.events.envelope import EvidenceClass, Instruction, Withdrawn
from ledger.events.reducer import ConsentState, SceneConsent, SceneWithdrawal
from ledger.integrity.finding import FsckFinding

Pair = tuple[str, str]  # the customer it comes from, and the one it leads to


@dataclass(slots=True)
class _Outcome:
    """The act in the records of the customer it leads to; `upto`: its last entry."""

    index: int
    act: Merged | Split | Renamed
    upto: int
    state: ConsentState


@dataclass(slots=True)
class MergeCheck:
    """Sees the instructions of all customers, each customer's in order."""

    _origins: dict[Pair, ConsentState] = field(default_factory=dict)
    _outcomes: dict[Pair, _Outcome] = field(default_factory=dict)
    _latest: dict[str, _Outcome] = field(default_factory=dict)

    def see(
        self, before: ConsentState, instruction: Instruction, index: int, after: ConsentState
    ) -> None:
        who = instruction.subject
        match instruction.act:
            case SourceDeleted(into=str() as into):
                self._origins[who, into] = before
            case Split(customer=new) if before.seq or new in self._latest:
                self._origins[who, new] = before
            case Merged(customer=other) | Split(customer=other) | Renamed(customer=other):
                found = _Outcome(index, instruction.act, index, after)
                self._outcomes[other, who] = self._latest[who] = found
            case Withdrawn() | Limited() if instruction.evidence is EvidenceClass.IMPORTED:
                if (current := self._latest.get(who)) and current.upto == index - 1:
                    current.upto, current.state = index, after

    def findings(self) -> Iterator[FsckFinding]:
        for pair, outcome in self._outcomes.items():
            if (origin := self._origins.get(pair)) is None:
                continue  # the other one was erased, or not checked
            wider = [
                scene
                for scene in sorted({*origin.scenes, *origin.triggers, *outcome.state.scenes})
                if _widens(scene, origin, outcome)
            ]
            if wider:
                yield FsckFinding(
                    f"entry {outcome.index}",
                    f"after this {_NAMES[type(outcome.act)]} more is allowed than the other"
                    f" customer allowed, in {', '.join(wider)}",
                )


_NAMES = {Merged: "merge", Split: "split", Renamed: "rename"}


def _widens(scene: str, origin: ConsentState, outcome: _Outcome) -> bool:
    theirs, mine = origin.last(scene), outcome.state.last(scene)
    if isinstance(mine, SceneWithdrawal):
        return False
    if isinstance(outcome.act, Renamed):
        return not _taken_over(scene, origin, outcome.state)
    if mine is None:
        return isinstance(theirs, SceneWithdrawal)
    if isinstance(outcome.act, Split):
        return True
    if theirs is None:
        return scene not in outcome.act.silent
    return not isinstance(theirs, SceneConsent) or not _within(mine, theirs)


def _taken_over(scene: str, origin: ConsentState, outcome: ConsentState) -> bool:
    """Whether what is allowed under the new number was allowed under the old one, for no longer.

    A grant lasts from its time on, so it may be no later; silence counts only as silence before.
    """
    theirs, mine = origin.last(scene), outcome.last(scene)
    conditions = {*origin.triggers.get(scene, ())} <= {*outcome.triggers.get(scene, ())}
    if mine is None:
        return theirs is None and conditions
    if not isinstance(mine, SceneConsent) or not isinstance(theirs, SceneConsent):
        return isinstance(mine, SceneWithdrawal)
    return _within(mine, theirs) and mine.at <= theirs.at and conditions


def _within(mine: SceneConsent, theirs: SceneConsent) -> bool:
    ends = theirs.until is None or (mine.until is not None and mine.until <= theirs.until)
    return ends and mine.fields <= theirs.fields
