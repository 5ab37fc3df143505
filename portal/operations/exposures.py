"""Computes each customer's privacy loss from releases in a period, from the consent log alone.

The log records when each budget was debited and at which ledger sizes. Every customer who had
granted any field of the scene by then is charged, even if the grant was too narrow, superseded or
frozen, so nobody is charged too little under any version of the contracts. A release for statistics
charges everybody, objectors too, since who objected when need not be known for that. Nothing is
stored that could be lost or restored from an old backup. An erased customer has no history here and
is in no later population.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import takewhile

from gate.contracts.scene import Scene
from gate.state import bit_arrays
from gate.state.consent_index import ConsentIndex
from gate.state.erased import ErasedIds
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
    """One debit, and the ledger sizes at which it was measured."""

    reservation: str
    scene: str
    loss: PrivacyLoss
    sizes: tuple[int, ...]


def fits(announced: Iterable[RecordedEvent], period: str | None) -> list[Fit]:
    """All fits debited in a period, finished or not, in log order. None: in every period."""
    by_debit: dict[str, Fit] = {}
    for entry in announced:
        match entry.event:
            case BudgetReserved(body=body) if period in {None, body["period"]}:
                debit, loss = body_id(body), PrivacyLoss(parse_exact(body["rho"]))
                by_debit[debit] = Fit(debit, str(body["scene"]), loss, (int(body["ledger_size"]),))
            case SyntheticReleased(body=body) if before := by_debit.get(body["reservation"]):
                by_debit[before.reservation] = _measured(before, Release.from_body(body))
            case _:
                pass
    return [*by_debit.values()]


def exposure(ledger: Ledger, versions: Versions, fits: Sequence[Fit]) -> Exposure:
    """Each customer's loss from these fits. Makes one pass over the log per version."""
    erased = ErasedIds.of(ledger)
    states = [ConsentIndex(scenes, erased) for scenes in versions]
    counting = {s.id for scenes in versions for s in scenes.values() if s.counts_everybody}
    paid = Exposure({})
    for each in (each for each in fits if each.scene in counting):
        paid = paid.charged_to_all(each.loss)
    fits = [each for each in fits if each.scene not in counting]
    charged = {each.reservation: set[str]() for each in fits}
    for size, each in sorted(((s, f) for f in fits for s in f.sizes), key=lambda pair: pair[0]):
        stretch = _Until(size, ledger)
        for state in states:
            state.catch_up(stretch)
        granting = {subject for state in states for subject in _granting(state, each.scene)}
        new = granting - charged[each.reservation]
        charged[each.reservation] |= new
        paid = paid.charged(new, each.loss)
    return paid


def upper_bound(fits: Iterable[Fit]) -> PrivacyLoss:
    """An upper bound on every customer's exposure: the sum of the losses."""
    return PrivacyLoss(sum((each.loss.rho for each in fits), Fraction(0)))


def _measured(before: Fit, release: Release) -> Fit:
    resumed_at = {each.ledger_size for each in release.resumed} | {release.ledger_size}
    sizes = tuple(sorted({*before.sizes} | resumed_at))
    return Fit(before.reservation, before.scene, before.loss, sizes)


def _granting(state: ConsentIndex, scene: str) -> list[str]:
    if scene not in state.scenes:
        return []
    return state.subjects.of(bit_arrays.granting(state.all_bits(scene)))


@dataclass(frozen=True, slots=True)
class _Until:
    """The first `size` entries of the ledger, without those that no longer open."""

    size: int
    ledger: Ledger

    def follow(self, since: int) -> Iterator[RecordedEvent]:
        before = takewhile(lambda each: each.index < self.size, self.ledger.follow(since))
        return (each for each in before if not isinstance(each.event, SubjectErased))
