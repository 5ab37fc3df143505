"""A release: noisy measurements, the promise made about them, and rows drawn from their model.

Its `body` is public. It holds the noisy integers themselves, so that anyone recomputes the budget
and the model without private data; JSON without floats, fractions as "p/q":

    {"format": "synthetic-release/v1", "scene": "segmentation", "mechanism": "independent",
     "fitted_at": "2026-11-21T09:00:00Z", "ledger_size": 31337, "contract": "segmentation 1.0.0",
     "domain": [{"name": "age", "kind": "numbers", "lower": 18, "upper": 96, "edges": [25, 35]}],
     "statement": {"unit": "customer", "neighbours": "add or remove one", "contribution": 1,
                   "rho": "1/64", "delta": "1/100000", "epsilon": "7213/10000"},
     "measurements": [{"clique": ["age"], "noise": "discrete laplace", "scale": "64/5",
                       "sensitivity": 1, "values": [1029, 17044, 27131]}]}
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from functools import cached_property
from hashlib import sha256
from typing import Any

from synthetic import domain as domains
from synthetic import measure, sample
from synthetic.budget import LAPLACE_NOISE, LossError, PrivacyLoss, exact, parse_exact, total
from synthetic.domain import Domain
from synthetic.measure import Measurement, MeasurementError
from synthetic.model import model_of
from synthetic.noise import post_processing
from synthetic.sample import Model

FORMAT = "synthetic-release/v1"
UNIT = "customer"
NEIGHBOURS = "add or remove one"


class MalformedReleaseError(ValueError):
    """A body is not a release, or its own figures contradict each other."""


class UnpublishableError(Exception):
    """The noise of this release can be repeated, so it must never leave the test that made it."""


@dataclass(frozen=True, slots=True)
class Statement:
    """What is promised to one customer. `contribution`: rows that one customer has at most."""

    contribution: int
    rho: PrivacyLoss
    delta: Fraction
    epsilon: Fraction
    mechanism: str
    unit: str = UNIT
    neighbours: str = NEIGHBOURS

    def __str__(self) -> str:
        """The honest sentence; nothing stronger may be said of a release."""
        return (
            f"For anyone, adding or removing one {self.unit} with all their rows (at most "
            f"{self.contribution}) changes the probability of any set of synthetic outputs "
            f"of this release by at most a factor e^{float(self.epsilon):.6g} plus "
            f"{float(self.delta):.3g} ({float(self.rho.rho):.6g}-zCDP). It covers neither rows "
            "served with consent nor what the population teaches about a person."
        )

    def body(self) -> dict[str, object]:
        return {
            "unit": self.unit,
            "neighbours": self.neighbours,
            "contribution": self.contribution,
            "rho": exact(self.rho.rho),
            "delta": exact(self.delta),
            "epsilon": exact(self.epsilon),
        }


@dataclass(frozen=True)
class Release:
    """Immutable. `rows` is an estimate from the noisy counts; nobody publishes the exact number."""

    scene: str
    domain: Domain
    mechanism: str
    measurements: tuple[Measurement, ...]
    statement: Statement
    fitted_at: datetime
    ledger_size: int
    contract: str = ""
    publishable: bool = True

    @cached_property
    def id(self) -> str:
        """The scene and the start of the SHA-256 over the body's canonical JSON."""
        text = json.dumps(self._body(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return f"{self.scene}-{sha256(text.encode()).hexdigest()[:24]}"

    @cached_property
    def rows(self) -> int:
        return measure.total_rows(list(self.measurements), self.domain)

    def body(self) -> dict[str, object]:
        """The public record. Raises UnpublishableError for a release with repeatable noise."""
        if not self.publishable:
            raise UnpublishableError(
                "this release was measured with repeatable noise: fit it again with the "
                "operating system's"
            )
        return self._body()

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> "Release":
        """The same release from its public record. Raises MalformedReleaseError."""
        try:
            return _consistent(_parsed(body))
        except (KeyError, TypeError, ValueError, MeasurementError) as error:
            raise MalformedReleaseError(f"not a {FORMAT} body: {error}") from error

    def sample(self, rows: int, columns: Sequence[str]) -> Any:
        """`rows` synthetic rows as an Arrow table of values. New ones at every call."""
        self.domain.shape(columns)  # an unknown column is refused before anything is drawn
        generator = post_processing()
        codes = sample.draw(self._model, rows, sample.stratified(rows, generator))
        return sample.decode(
            self.domain, codes, columns, lambda _name, _cell: generator.random(rows)
        )

    def surrogate(self, columns: Sequence[str], key: bytes, subjects: Sequence[str]) -> Any:
        """One population draw per subject, the same at every call with this key and release.

        It depends on nothing that is known of the subject, so it tells nothing about them.
        """
        self.domain.shape(columns)
        uniforms = sample.keyed(key, self.id, subjects)
        codes = sample.draw(self._model, len(subjects), uniforms)
        return sample.decode(self.domain, codes, columns, uniforms)

    @cached_property
    def _model(self) -> Model:
        return model_of(self.mechanism, self.domain, self.measurements)

    def _body(self) -> dict[str, object]:
        return {
            "format": FORMAT,
            "scene": self.scene,
            "mechanism": self.mechanism,
            "fitted_at": self.fitted_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "ledger_size": self.ledger_size,
            "contract": self.contract,
            "domain": self.domain.declaration(),
            "statement": self.statement.body(),
            "measurements": [each.body() for each in self.measurements],
        }


def statement(
    measurements: Sequence[Measurement], delta: Fraction, contribution: int, mechanism: str
) -> Statement:
    """What may be promised: recomputed from the measurements, whatever was asked for."""
    spent = total([each.loss for each in measurements])
    epsilon = spent.epsilon(delta)
    if all(each.noise == LAPLACE_NOISE for each in measurements):
        epsilon = min(epsilon, sum((each.epsilon for each in measurements), Fraction(0)))
    return Statement(contribution, spent, delta, epsilon, mechanism)


def _parsed(body: Mapping[str, Any]) -> Release:
    if body["format"] != FORMAT:
        raise MalformedReleaseError(f"format is {body['format']!r}, want {FORMAT!r}")
    domain = domains.parse(body["domain"])
    promised = body["statement"]
    return Release(
        scene=str(body["scene"]),
        domain=domain,
        mechanism=str(body["mechanism"]),
        measurements=tuple(measure.from_body(each, domain) for each in body["measurements"]),
        statement=Statement(
            int(promised["contribution"]),
            PrivacyLoss(parse_exact(promised["rho"])),
            parse_exact(promised["delta"]),
            parse_exact(promised["epsilon"]),
            str(body["mechanism"]),
            str(promised["unit"]),
            str(promised["neighbours"]),
        ),
        fitted_at=datetime.strptime(body["fitted_at"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC),
        ledger_size=int(body["ledger_size"]),
        contract=str(body["contract"]),
    )


def _consistent(release: Release) -> Release:
    """The promise must be the one that the measurements support, to the last digit."""
    said = release.statement
    found = statement(release.measurements, said.delta, said.contribution, release.mechanism)
    if said != found:
        raise LossError(f"the statement says {said.body()}, the measurements give {found.body()}")
    weakest = min((each.sensitivity for each in release.measurements), default=said.contribution)
    if weakest < said.contribution:
        raise LossError(
            f"a measurement covers {weakest} rows of a customer, the statement {said.contribution}"
        )
    return release
