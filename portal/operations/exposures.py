"""What every customer has lost to releases in a period, derived from the consent log alone.

The log says when each budget was debited and on which of its states: whoever had granted anything
of the scene by then is charged, whether or not the grant was wide enough, had lapsed or was frozen.
So nobody is charged too little, under whatever version of the contracts. Nothing is kept that could
be lost, restored from too old a backup or be wrong on its own. Whoever is erased leaves no history
here either, and is in no later population.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import takewhile

from gate.contracts.scene import Scene
from gate.state import consent_bits
from gate.state.consent_index import ConsentIndex
from ledger.events.envelope import BudgetReserved, SubjectErased, SyntheticReleased
from ledger.reader import RecordedEvent
from ledger.service import Ledger
from synthetic.fitting.release import Release
from synthetic.privacy.budget import PrivacyLoss, parse_exact
from synthetic.privacy.budget_ledger import body_id
from synthetic.privacy.customer_cap import Exposure

Versions = Sequence[Mapping[str, Scene]]  # of all contracts: see gate.replay.history.Grounds


@dataclass(frozen=True, slots=True)
class Fit:
    """One debit, and the states of the log that it was measured on."""

    reservation: str
    scene: str
    loss: PrivacyLoss
    sizes: tuple[int, ...]


def fits(announced: Iterable[RecordedEvent], period: str) -> list[Fit]:
    """All that were debited in a period, finished or not, in log order."""
    found: dict[str, Fit] = {}
    for entry in announced:
        match entry.event:
            case BudgetReserved(body=body) if body["period"] == period:
                debit, loss = body_id(body), PrivacyLoss(parse_exact(body["rho"]))
                found[debit] = Fit(debit, str(body["scene"]), loss, (int(body["ledger_size"]),))
            case SyntheticReleased(body=body) if before := found.get(body["reservation"]):
                found[before.reservation] = _measured(before, Release.from_body(body))
            case _:
                pass
    return [*found.values()]


def exposure(ledger: Ledger, versions: Versions, found: Sequence[Fit]) -> Exposure:
    """What each customer has lost to these fits. One pass over the log per version."""
    states = [ConsentIndex(scenes) for scenes in versions]
    paid, charged = Exposure({}), {each.reservation: set[str]() for each in found}
    for size, each in sorted(((s, f) for f in found for s in f.sizes), key=lambda pair: pair[0]):
        stretch = _Until(size, ledger)
        for state in states:
            state.catch_up(stretch)
        granting = {subject for state in states for subject in _granting(state, each.scene)}
        new = granting - charged[each.reservation]
        charged[each.reservation] |= new
        paid = paid.charged(new, each.loss)
    return paid


def most(found: Iterable[Fit]) -> PrivacyLoss:
    """What nobody's exposure can pass."""
    return PrivacyLoss(sum((each.loss.rho for each in found), Fraction(0)))


def _measured(before: Fit, release: Release) -> Fit:
    went_on = {each.ledger_size for each in release.resumed} | {release.ledger_size}
    sizes = tuple(sorted({*before.sizes} | went_on))
    return Fit(before.reservation, before.scene, before.loss, sizes)


def _granting(state: ConsentIndex, scene: str) -> list[str]:
    if scene not in state.scenes:
        return []
    return state.subjects.of(state.all_bits(scene) & consent_bits.FIELDS != 0)


@dataclass(frozen=True, slots=True)
class _Until:
    """The ledger as it was at `size`, of those whose entries still open."""

    size: int
    ledger: Ledger

    def follow(self, since: int) -> Iterator[RecordedEvent]:
        before = takewhile(lambda each: each.index < self.size, self.ledger.follow(since))
        return (each for each in before if not isinstance(each.event, SubjectErased))
