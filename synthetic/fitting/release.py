"""A release: noisy measurements, their privacy statement, and rows drawn from their model.

Its `body` is a public record with the noisy integers themselves, so that anyone can recompute the
budget and the model without private data. It is JSON without floats, with fractions as "p/q":

    {"format": "synthetic-release/v2", "scene": "segmentation", "mechanism": "independent",
     "fitted_at": "2026-11-21T09:00:00Z", "ledger_size": 31337, "ledger_root": "3c5e…",
     "contract": "segmentation 1.0.0 77ab…", "code": "91d0…", "lock": "e2c4…",
     "domain": [{"name": "age", "kind": "numbers", "lower": 18, "upper": 96, "edges": [25, 35]}],
     "domain_digest": "0b6f…",
     "period": "2026", "reservation": "4b1f…", "workload": [], "selections": [], "resumed": [],
     "account": {"delta": "1/100000", "spent": {"rho": "1/32", "epsilon": "262/250"},
                 "left": {"rho": "3/32", "epsilon": "1951/1000"}},
     "statement": {"unit": "customer", "neighbours": "add or remove one", "contribution": 1,
                   "rho": "1/64", "delta": "1/100000", "epsilon": "7213/10000"},
     "measurements": [{"clique": ["age"], "noise": "discrete laplace", "scale": "64/5",
                       "sensitivity": 1, "values": [1029, 17044, 27131]}]}

`ledger_root` is the root of the consent log at `ledger_size`. `contract` is the scene, version and
digest of the contract that published the domain. `code` and `lock`: see provenance. `account` is
the scene's account right after the reservation, or null without one. `resumed` is empty unless the
fit was interrupted: then it lists earlier states of the log, and how many of the first measurements
and selections were made on each. Records of v1 lack these members and stay valid.

A release with periods of series over events has the member `series` (synthetic.model.series), and
its statement the member `events`: the most events of one customer in one of these periods.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from functools import cached_property
from hashlib import sha256
from typing import Any

from synthetic.fitting import checkpoint
from synthetic.fitting.checkpoint import Segment
from synthetic.fitting.statement import NEIGHBOURS, UNIT, Statement
from synthetic.model import conditional, measure, sample, select
from synthetic.model import domain as domains
from synthetic.model import series as event_series
from synthetic.model.consistency import Reconciled, reconciled
from synthetic.model.domain import Domain
from synthetic.model.graphical_model import GRAPHICAL, beliefs_of, model_of, require_known
from synthetic.model.inference import Beliefs
from synthetic.model.marginals import Clique, declared
from synthetic.model.measure import Measurement, MeasurementError
from synthetic.model.sample import Model
from synthetic.model.select import Selection
from synthetic.model.series import PeriodMeasurement
from synthetic.privacy import accounting, budget_ledger
from synthetic.privacy.budget import (
    GAUSSIAN_NOISE,
    LAPLACE_NOISE,
    Account,
    PrivacyLoss,
    exact,
    parse_exact,
    total,
)
from synthetic.privacy.mechanisms import post_processing

FORMAT = budget_ledger.RELEASE
EARLIER = budget_ledger.EARLIER[FORMAT]
ADDED = ("ledger_root", "code", "lock", "domain_digest", "account", "resumed")  # since EARLIER
_DIGEST = re.compile(r"([0-9a-f]{64})?")


class MalformedReleaseError(ValueError):
    """A body is not a release, or its figures contradict each other."""


class UnpublishableError(Exception):
    """The release has repeatable noise (of a test), so it must not be published."""


@dataclass(frozen=True)
class Release:
    """One release. Immutable. `rows` is estimated from noisy counts; the exact number is secret."""

    scene: str
    domain: Domain
    mechanism: str
    measurements: tuple[Measurement, ...]
    statement: Statement
    fitted_at: datetime
    ledger_size: int
    contract: str = ""
    period: str = ""
    reservation: str = ""  # the id of its reservation in the budget ledger
    workload: tuple[Clique, ...] = ()
    selections: tuple[Selection, ...] = ()
    ledger_root: str = ""  # of the consent log at `ledger_size`, hex; empty: fitted without a log
    code: str = ""  # see provenance
    lock: str = ""
    account: Account | None = None  # right after the reservation
    resumed: tuple[Segment, ...] = ()  # measured before an interruption, on earlier log sizes
    series: tuple[PeriodMeasurement, ...] = ()  # of periods that no earlier release measured
    format: str = FORMAT
    publishable: bool = True

    @cached_property
    def id(self) -> str:
        """The scene and the first 24 hex digits of the SHA-256 of the body's canonical JSON."""
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
        """The release of a public record. Raises MalformedReleaseError."""
        try:
            return _consistent(_parsed(body))
        except (KeyError, TypeError, ValueError, MeasurementError) as error:
            raise MalformedReleaseError(f"not a {FORMAT} body: {error}") from error

    def sample(self, rows: int, columns: Sequence[str]) -> Any:
        """`rows` synthetic rows as an Arrow table of values; different ones at each call."""
        self.domain.shape(columns)  # an unknown column is refused before anything is drawn
        generator = post_processing()
        codes = sample.draw(self._model, rows, sample.balanced(generator))
        return sample.decode(self.domain, codes, columns, lambda _name: generator.random(rows))

    def surrogate(self, columns: Sequence[str], key: bytes, subjects: Sequence[str]) -> Any:
        """One draw from the population per subject, the same at each call with this key.

        It depends on nothing but the subject's id, so it reveals nothing about the subject.
        """
        self.domain.shape(columns)
        uniforms = sample.keyed(key, self.id, subjects)
        codes = sample.draw(self._model, len(subjects), sample.independently(uniforms))
        return sample.decode(self.domain, codes, columns, uniforms)

    def conditional(
        self, columns: Sequence[str], evidence: Any, key: bytes, subjects: Sequence[str]
    ) -> Any:
        """One draw of `columns` per subject, from the model's conditional given `evidence`.

        `evidence`: an Arrow table of the values that may be read, one row per subject; columns that
        the domain lacks are ignored. Exact under the model, and the same for the same key, release,
        subject and evidence. The true value is never used, but the draw reveals what the
        population's correlations say about it.
        """
        self.domain.shape(columns)
        known = sample.encode(self.domain.without(columns), evidence)
        if not known:
            return self.surrogate(columns, key, subjects)
        uniforms = sample.keyed(key, self.id, subjects)
        codes = conditional.draw(self.beliefs, known, uniforms)
        return sample.decode(self.domain, codes, columns, uniforms)

    @cached_property
    def beliefs(self) -> Beliefs:
        """The model's estimate of every marginal, in expected rows."""
        return beliefs_of(self.mechanism, self.domain, self.measurements)

    @cached_property
    def served(self) -> tuple[Reconciled, ...]:
        """The declared marginals (without a workload: all), each once, after reconciliation.

        Their variance is the noise that is left after all measurements were reconciled.
        """
        every = reconciled(self.measurements)
        return tuple(m for m in every if m.clique in self.workload) or tuple(every)

    @cached_property
    def _model(self) -> Model:
        return model_of(self.beliefs)

    def _body(self) -> dict[str, object]:
        body = self._newest_body()
        return body if self.format == FORMAT else {k: body[k] for k in body if k not in ADDED}

    def _newest_body(self) -> dict[str, object]:
        account = self.account and budget_ledger.stated(self.account, self.statement.delta)
        return {
            "format": self.format,
            "scene": self.scene,
            "mechanism": self.mechanism,
            "fitted_at": self.fitted_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "ledger_size": self.ledger_size,
            "ledger_root": self.ledger_root,
            "contract": self.contract,
            "code": self.code,
            "lock": self.lock,
            "period": self.period,
            "reservation": self.reservation,
            "account": account,
            "domain": self.domain.declaration(),
            "domain_digest": self.domain.digest,
            "workload": [list(clique) for clique in self.workload],
            "statement": self.statement.body(),
            "measurements": [each.body() for each in self.measurements],
            "selections": [each.body() for each in self.selections],
            "resumed": [each.body() for each in self.resumed],
            **({"series": [each.body() for each in self.series]} if self.series else {}),
        }


def statement(
    measurements: Sequence[Measurement],
    selections: Sequence[Selection],
    delta: Fraction,
    mechanism: str,
    contribution: int,
    series: Sequence[PeriodMeasurement] = (),
) -> Statement:
    """The privacy statement, recomputed from the released measurements and selections.

    Several rows or events of one customer may be in several cells, which one-dimensional accounting
    does not cover. The statement is then that of zCDP, which holds for any shift of this L2 length
    (Canonne, Kamath & Steinke 2020, on the multivariate discrete Gaussian).
    """
    spent = _spent(measurements, selections, series)
    events = max((each.terms.at_most for each in series), default=0)
    if mechanism != GRAPHICAL:
        pure = sum((each.epsilon for each in measurements), Fraction(0))
        epsilon = min(spent.epsilon(delta), pure)
    elif contribution == 1 and not series:
        epsilon = accounting.epsilon(_gaussians(measurements, selections), delta)
    else:
        epsilon = spent.epsilon(delta)
    return Statement(contribution, spent, delta, epsilon, mechanism, events=events)


def verify(release: Release) -> None:
    """Recompute the statement with its tight epsilon. Raises MalformedReleaseError."""
    stated = release.statement
    recomputed = statement(
        release.measurements,
        release.selections,
        stated.delta,
        stated.mechanism,
        stated.contribution,
        release.series,
    )
    if stated != recomputed:
        raise MalformedReleaseError(
            f"the statement says {stated.body()}, the measurements give {recomputed.body()}"
        )


def _gaussians(
    measurements: Sequence[Measurement], selections: Sequence[Selection]
) -> list[tuple[accounting.Mechanism, int]]:
    """One customer's rows are in one cell of a marginal each, but in every score of a selection."""
    measured = [((each.scale, each.sensitivity), 1) for each in measurements]
    return measured + [((s.scale, s.sensitivity), len(s.candidates)) for s in selections]


def _spent(
    measurements: Sequence[Measurement],
    selections: Sequence[Selection],
    series: Sequence[PeriodMeasurement],
) -> PrivacyLoss:
    spent = [each.loss for each in measurements] + [each.loss for each in selections]
    return total(spent + [each.loss for each in series])


def _parsed(body: Mapping[str, Any]) -> Release:
    if body["format"] not in (FORMAT, EARLIER):
        raise MalformedReleaseError(f"format is {body['format']!r}, want {FORMAT!r}")
    domain = domains.parse(body["domain"])
    mechanism = str(body["mechanism"])
    require_known(mechanism)
    return Release(
        scene=str(body["scene"]),
        domain=domain,
        mechanism=mechanism,
        measurements=tuple(measure.from_body(each, domain) for each in body["measurements"]),
        workload=declared(domain, body["workload"]),
        selections=tuple(map(select.from_body, body["selections"])),
        statement=_promised(body["statement"], mechanism),
        fitted_at=datetime.strptime(body["fitted_at"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC),
        ledger_size=int(body["ledger_size"]),
        contract=str(body["contract"]),
        period=str(body["period"]),
        reservation=str(body["reservation"]),
        format=body["format"],
        **(_added(body, domain) if body["format"] == FORMAT else {}),
    )


def _added(body: Mapping[str, Any], domain: Domain) -> dict[str, Any]:
    """The members that only records of the newest format have."""
    digest, stated = body["domain_digest"], body["account"]
    _require(digest == domain.digest, f"domain_digest is {digest!r}, want {domain.digest!r}")
    account = None if stated is None else budget_ledger.parse_account(stated)
    if account is not None:
        due = budget_ledger.stated(account, parse_exact(body["statement"]["delta"]))
        _require(stated == due, f"the account is stated as {stated}, its rho gives {due}")
    digests = {name: str(body[name]) for name in ("ledger_root", "code", "lock")}
    for name, digest in digests.items():
        _require(bool(_DIGEST.fullmatch(digest)), f"{name} is {digest!r}, want 64 hex digits")
    periods = tuple(map(event_series.from_body, body.get("series", ())))
    most = max((each.terms.at_most for each in periods), default=0)
    events = int(body["statement"].get("events", 0))
    _require(events == most, f"the statement covers {events} events, the series need {most}")
    measured = [(each.terms.name, each.period.start) for each in periods]
    _require(len({*measured}) == len(measured), "a period of a series is measured twice")
    resumed = checkpoint.resumed(body)
    return {**digests, "account": account, "resumed": resumed, "series": periods}


def _promised(stated: Mapping[str, Any], mechanism: str) -> Statement:
    return Statement(
        int(stated["contribution"]),
        PrivacyLoss(parse_exact(stated["rho"])),
        parse_exact(stated["delta"]),
        parse_exact(stated["epsilon"]),
        mechanism,
        str(stated["unit"]),
        str(stated["neighbours"]),
        int(stated.get("events", 0)),
    )


def _consistent(release: Release) -> Release:
    """Check that the measurements support the statement; return the release.

    rho must be exact and epsilon possible for this noise; `verify` recomputes epsilon exactly.
    """
    stated = release.statement
    spent = _spent(release.measurements, release.selections, release.series)
    noise = GAUSSIAN_NOISE if release.mechanism == GRAPHICAL else LAPLACE_NOISE
    others = sorted({m.noise for m in release.measurements} - {noise})
    _require(not others, f"a {release.mechanism} release has {noise} noise only, not {others}")
    _require(
        (stated.unit, stated.neighbours) == (UNIT, NEIGHBOURS),
        f"the statement is per {stated.unit!r} with neighbours {stated.neighbours!r}, want "
        f"{UNIT!r} and {NEIGHBOURS!r}",
    )
    _require(stated.rho == spent, f"rho is stated as {stated.rho.rho}, the noise gives {spent.rho}")
    if release.mechanism == GRAPHICAL:
        least, most = accounting.gaussian_epsilon(spent, stated.delta), spent.epsilon(stated.delta)
        inside = least * (1 - 1e-9) <= stated.epsilon <= most
        _require(
            inside, f"epsilon {exact(stated.epsilon)} is not between {least} and {exact(most)}"
        )
    else:
        verify(release)
    covered = [m.sensitivity for m in release.measurements]
    covered += [s.sensitivity for s in release.selections]
    least = min(covered, default=stated.contribution)
    _require(
        least >= stated.contribution,
        f"a measurement covers {least} rows of a customer, want {stated.contribution}",
    )
    return release


def _require(condition: bool, otherwise: str) -> None:
    if not condition:
        raise MalformedReleaseError(f"{otherwise}: ask its publisher for the entry in the log")
