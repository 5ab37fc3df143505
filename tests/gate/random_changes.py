"""What the company of a trial did with customers at its source: deleted, merged, split.

The acts are those that `sovereign customers` records. Whatever they are, specs.model.merging says
what may be allowed after them.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random
from typing import Protocol

from gate.contracts.company import Company
from ledger.events.acts import Merged, SourceDeleted, Split
from ledger.events.envelope import Act
from ledger.events.reducer import ConsentState
from ledger.service import Ledger
from portal.commands.customers import narrowing
from specs.model import merging
from specs.model.consent import History, Json
from specs.model.contract import Contract

Change = tuple[str, list[str]]  # what was done, and what is allowed wrongly since
LATER_MIN = (0, 1, 61, 10_080, 600_000)


class Changing(Protocol):
    """What of a trial is needed here."""

    chance: Random
    at: datetime
    company: Company
    contracts: dict[str, Contract]
    ledger: Ledger
    entries: dict[int, Json]
    subjects: tuple[str, ...]

    def instruct(self, subject: str, *acts: Act) -> None: ...
    def past(self) -> History: ...


def change(trial: Changing) -> Change | None:
    """One change at random; None if these customers do not allow it."""
    return trial.chance.choice((_delete, _merge, _merge, _split))(trial)


def _delete(trial: Changing) -> Change | None:
    subject = trial.chance.choice(trial.subjects)
    if not trial.past().has_key(subject):
        return None
    trial.instruct(subject, SourceDeleted())
    return "deletion", []


def _merge(trial: Changing) -> Change | None:
    """One customer ends in another; nothing may be allowed that only one of them allowed."""
    gone, into = trial.chance.sample(trial.subjects, 2)
    before = trial.past()
    if not (_shareable(before, gone) and before.has_key(into)):
        return None
    scenes, mine, other = trial.company.scenes, _state(trial, into), _state(trial, gone)
    acts = [*narrowing.shared(scenes, mine, other, trial.at, _published(trial))]
    trial.instruct(gone, SourceDeleted(into))
    trial.instruct(into, Merged(gone, narrowing.silent(scenes, other)), *acts)
    moments = [trial.at + timedelta(minutes=each) for each in LATER_MIN]
    contracts = trial.contracts.values()
    return "merge", merging.widened(before, trial.past(), (gone, into), contracts, moments)


def _split(trial: Changing) -> Change | None:
    """A new customer is a part of another; what that one refused stays refused."""
    before = trial.past()
    new = [who for who in trial.subjects if before.has_key(who) and not any(before.of(who))]
    shareable = [who for who in trial.subjects if _shareable(before, who) and who not in new]
    if not new or not shareable:
        return None
    pair = trial.chance.choice(shareable), trial.chance.choice(new)
    states = _state(trial, pair[1]), _state(trial, pair[0])
    objected = [*narrowing.objected(trial.company.scenes, *states, trial.at)]
    trial.instruct(pair[0], Split(pair[1]))
    trial.instruct(pair[1], Split(pair[0]), *objected)
    contracts = trial.contracts.values()
    return "split", merging.inherited(before, trial.past(), pair, contracts, trial.at)


def _shareable(past: History, subject: str) -> bool:
    """Neither erased nor deleted: those must be asked, which cannot be said of another."""
    deleted = any(entry["act"]["type"] == "source-deleted" for _, entry in past.of(subject))
    return past.silence_allows(subject) and not deleted


def _state(trial: Changing, subject: str) -> ConsentState:
    state = trial.ledger.state(subject) or ConsentState(subject)
    return replace(state, returned=trial.past().was_erased(subject))


def _published(trial: Changing) -> Mapping[str, int]:
    found = ((at, each) for at, each in sorted(trial.entries.items()))
    return {each["scene"]: at for at, each in found if each["type"] == "scene-published"}
