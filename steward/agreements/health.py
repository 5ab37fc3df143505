"""Agreement health: authorisation coverage, data freshness and model dependence (M12).

It counts *uses*: one use is one field of one scene that needs consent. For one customer:

    coverage    granted / asked       share of uses that are granted now
    freshness   fresh / timed         share of measured granted uses delivered in time
    dependence  modelled / asked      share of uses answered by a synthetic model

A share of zero uses is None, never 0 or 100 %. Shares are in ten-thousandths, rounded to the
company's disadvantage: coverage and freshness down, dependence up. Formulas and sources:
specs/health.md, "Agreement health".
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gate.contracts import strict_yaml
from gate.contracts.scene import Fallback, Scene
from gate.contracts.specs import specs_folder
from gate.decision.decide import frozen
from gate.state import bit_arrays, consent_bits
from gate.state.consent_bits import ALL_ARMED, ALL_FIELDS, BitsArray
from gate.state.consent_index import ConsentIndex

Counts = npt.NDArray[np.int64]  # one number per row of the consent state
Freshness = Mapping[str, Mapping[str, bool]]  # scene -> field -> in time; absent: not measured

TEN_THOUSAND = 10_000


class Advice(StrEnum):
    """Advice to the account manager; never to ask the customer for consent again."""

    EXPLAIN = "explain"  # low coverage: make consequences and alternatives clear
    REFRESH = "refresh"  # old data: fix the delivery before using it for decisions
    REVIEW = "review"  # high dependence: decide on this customer manually


class ThresholdError(ValueError):
    """The file of thresholds cannot be used."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Thresholds in ten-thousandths; a value equal to its threshold gives no advice."""

    least_coverage: int
    least_freshness: int
    most_dependence: int


@dataclass(frozen=True, slots=True)
class HealthReport:
    """Counts of uses, of one customer or summed over many."""

    asked: int
    granted: int
    timed: int
    fresh: int
    modelled: int

    @property
    def coverage(self) -> int | None:
        return TEN_THOUSAND * self.granted // self.asked if self.asked else None

    @property
    def freshness(self) -> int | None:
        return TEN_THOUSAND * self.fresh // self.timed if self.timed else None

    @property
    def dependence(self) -> int | None:
        return -(-TEN_THOUSAND * self.modelled // self.asked) if self.asked else None

    def __add__(self, other: "HealthReport") -> "HealthReport":
        return HealthReport(
            self.asked + other.asked,
            self.granted + other.granted,
            self.timed + other.timed,
            self.fresh + other.fresh,
            self.modelled + other.modelled,
        )

    def __sub__(self, other: "HealthReport") -> "HealthReport":
        return HealthReport(
            self.asked - other.asked,
            self.granted - other.granted,
            self.timed - other.timed,
            self.fresh - other.fresh,
            self.modelled - other.modelled,
        )

    def advice(self, limits: Thresholds) -> tuple[Advice, ...]:
        coverage, freshness, dependence = self.coverage, self.freshness, self.dependence
        due = {
            Advice.EXPLAIN: coverage is not None and coverage < limits.least_coverage,
            Advice.REFRESH: freshness is not None and freshness < limits.least_freshness,
            Advice.REVIEW: dependence is not None and dependence > limits.most_dependence,
        }
        return tuple(each for each, holds in due.items() if holds)


@dataclass(frozen=True, slots=True)
class HealthReports:
    """The reports of all customers, in the row order of the consent state."""

    asked: int  # number of uses, the same for each customer
    granted: Counts
    timed: Counts
    fresh: Counts
    modelled: Counts

    def __len__(self) -> int:
        return len(self.granted)

    def __iter__(self) -> Iterator[HealthReport]:
        columns = (self.granted, self.timed, self.fresh, self.modelled)
        for row in zip(*(column.tolist() for column in columns), strict=True):
            yield HealthReport(self.asked, *row)

    def row(self, row: int) -> HealthReport:
        columns = (self.granted, self.timed, self.fresh, self.modelled)
        return HealthReport(self.asked, *(int(column[row]) for column in columns))

    def total(self) -> HealthReport:
        sums = (self.granted, self.timed, self.fresh, self.modelled)
        return HealthReport(self.asked * len(self), *(int(each.sum()) for each in sums))

    def advised(self, limits: Thresholds) -> dict[Advice, npt.NDArray[np.bool_]]:
        """By advice and row, whether it applies: `HealthReport.advice` for all rows at once."""
        low = TEN_THOUSAND * self.granted // max(self.asked, 1) < limits.least_coverage
        old = TEN_THOUSAND * self.fresh // np.maximum(self.timed, 1) < limits.least_freshness
        much = -(-TEN_THOUSAND * self.modelled // max(self.asked, 1)) > limits.most_dependence
        return {
            Advice.EXPLAIN: low & (self.asked > 0),
            Advice.REFRESH: old & (self.timed > 0),
            Advice.REVIEW: much & (self.asked > 0),
        }


@dataclass(frozen=True, slots=True)
class _Masks:
    """Field bits of one scene: all fields, and those measured, in time, synthetic."""

    asked: int
    timed: int
    fresh: int
    modelled: int


class AgreementHealth:
    """Computes reports from contracts, deliveries and releases as they are now."""

    def __init__(
        self, scenes: Mapping[str, Scene], released: Collection[str], freshness: Freshness
    ) -> None:
        self.scenes = {each.id: each for each in scenes.values() if each.needs_consent}
        self._masks = {
            name: _masks(scene, freshness.get(name, {}), released=name in released)
            for name, scene in self.scenes.items()
        }
        self.asked = sum(each.asked.bit_count() for each in self._masks.values())

    def report(self, state: ConsentIndex, subject: str, minute: int) -> HealthReport:
        """One customer's report at `minute`, in time independent of the number of customers."""
        granted = timed = fresh = modelled = 0
        for scene, masks in self._masks.items():
            consent = state.bits(scene, subject)
            live = consent_bits.expiry(consent) > minute
            if live and consent & ALL_ARMED and frozen(consent, state.stale(scene, minute)):
                live = False
            bits = consent & ALL_FIELDS if live else 0
            granted += (bits & masks.asked).bit_count()
            timed += (bits & masks.timed).bit_count()
            fresh += (bits & masks.fresh).bit_count()
            modelled += (masks.modelled & ~bits).bit_count()
        return HealthReport(self.asked, granted, timed, fresh, modelled)

    def everybody(self, state: ConsentIndex, minute: int) -> HealthReports:
        """The reports of all customers in the log: four vector counts per scene."""
        sums = [np.zeros(len(state.subjects), np.uint32) for _ in range(4)]
        for scene, masks in self._masks.items():
            all_bits = state.all_bits(scene)
            live = bit_arrays.expiries(all_bits) > np.uint64(minute)
            live &= ~bit_arrays.frozen(all_bits, state.stale(scene, minute))
            for word in range(1 if all_bits.ndim == 1 else all_bits.shape[1]):
                column = all_bits if all_bits.ndim == 1 else all_bits[:, word]
                _count(column * live, word, masks, sums)
        return HealthReports(self.asked, *(each.astype(np.int64) for each in sums))


def _count(bits: BitsArray, word: int, masks: _Masks, sums: list[npt.NDArray[np.uint32]]) -> None:
    """Add the uses in one word of each row; `bits`: zero where nothing is live."""
    within = (masks.asked, masks.timed, masks.fresh, masks.modelled)
    asked, timed, fresh, modelled = (
        np.uint64(each >> consent_bits.WORD * word & _WORD) for each in within
    )
    counted = (bits & asked, bits & timed, bits & fresh, ~bits & modelled)
    for place, each in enumerate(counted):
        sums[place] += np.bitwise_count(each)


_WORD = (1 << consent_bits.WORD) - 1


def thresholds(path: Path | None = None) -> Thresholds:
    """The thresholds of `specs/stewardship/health.yaml`. Raises ThresholdError."""
    path = path or specs_folder() / "stewardship" / "health.yaml"
    try:
        declared = strict_yaml.load(path.read_bytes())
        limits = {name.replace("-", "_"): value for name, value in declared.items()}
        read = Thresholds(**limits)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ThresholdError(
            f"{path}: want least-coverage, least-freshness and most-dependence: {error}"
        ) from error
    for name, value in limits.items():
        if type(value) is not int or not 0 <= value <= TEN_THOUSAND:
            raise ThresholdError(f"{path}: {name} is {value!r}, want ten-thousandths, 0 to 10000")
    return read


def _masks(scene: Scene, freshness: Mapping[str, bool], *, released: bool) -> _Masks:
    bits = {name: consent_bits.field(place) for place, name in enumerate(scene.fields)}
    return _Masks(
        asked=sum(bits.values()),
        timed=sum(bits[name] for name in freshness if name in bits),
        fresh=sum(bits[name] for name, in_time in freshness.items() if in_time and name in bits),
        modelled=sum(
            bits[name]
            for name, field in scene.fields.items()
            if released and field.fallback is Fallback.SYNTHETIC
        ),
    )
