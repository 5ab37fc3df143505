"""Evaluate a release against the data it was fitted on, for the steward.

The errors of a report compare the model with exact counts of consenting customers. They are not
differentially private and must not leave the steward. `expected_loss` uses the public record alone
and may be shown to anyone, for instance in the notice that follows a withdrawal.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from html import escape
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthetic.completion.completion import HALF_NORMAL, MEAN_ABSOLUTE, SERVED, ErrorBar
from synthetic.evaluation.noise_audit import Audit
from synthetic.evaluation.utility import Utility
from synthetic.fitting.release import Release
from synthetic.model import counts
from synthetic.model.domain import Categories
from synthetic.model.marginals import Clique, singles

GOAL = 0.032  # the relative error up to which a segment counts as served well
WIDTH = 400  # of a chart's longest bar, in pixels
SHARES = (0.01, 0.05, 0.1, 0.2, 0.3, 0.5)  # of customers who withdraw, for the expected loss


@dataclass(frozen=True, slots=True)
class SegmentErrors:
    """Relative errors of the segments of one group-by that have at least 1 % of all rows."""

    clique: Clique
    segments: int
    mean: float
    p95: float
    within: float  # share of segments whose error is at most GOAL

    def body(self) -> dict[str, object]:
        figures = {"mean": self.mean, "p95": self.p95, "within": self.within}
        return {"group_by": list(self.clique), "segments": self.segments, **figures}


@dataclass(frozen=True, slots=True)
class EvaluationReport:
    """The evaluation of one release.

    `distance_one`, `distance_two`: total variation distance, averaged over all columns and over all
    pairs. `losses`: expected loss by share of withdrawn customers. `unknown`: values outside the
    domain, by column.
    """

    release: Release
    segments: tuple[SegmentErrors, ...]
    trends: tuple[SegmentErrors, ...]
    distance_one: float
    distance_two: float
    losses: Mapping[float, ErrorBar]
    unknown: Mapping[str, int]
    total: int  # number of rows it was fitted on
    audit: Audit | None = None
    utilities: tuple[Utility, ...] = ()

    def body(self) -> dict[str, Any]:
        """The report as JSON with floats. Not for publication."""
        losses = {
            str(share): {"mean": _finite(error.mean), "p95": _finite(error.p95)}
            for share, error in self.losses.items()
        }
        audited = self.audit and asdict(self.audit) | {"holds": self.audit.holds}
        return {
            "release": self.release.id,
            "statement": str(self.release.statement),
            "segments": [each.body() for each in self.segments],
            "trends": [each.body() for each in self.trends],
            "distance": {"one_way": self.distance_one, "two_way": self.distance_two},
            "expected_loss": losses,
            "outside_domain": dict(self.unknown),
            "audit": audited,
            "model_utility": [each.body() for each in self.utilities],
        }


def report(
    release: Release, table: Any, audited: Audit | None = None, utilities: Sequence[Utility] = ()
) -> EvaluationReport:
    """Compare a release with `table`, the Ibis table it was fitted on. For the steward only."""
    names = [*release.domain.columns]
    pairs = tuple(combinations(names, 2))
    wanted = [*singles(release.domain), *pairs, *release.workload]
    exact = counts.count(table, release.domain, wanted)
    total = max(1, int(exact[(names[0],)].sum()))
    model = {clique: release.beliefs.marginal(clique) for clique in exact}
    distances = {c: _distance(exact[c], model[c]) for c in exact}
    ordered = [c for c in singles(release.domain) if _is_ordered(release, c[0])]
    return EvaluationReport(
        release,
        tuple(_errors(c, exact[c], model[c], total) for c in release.workload),
        tuple(_errors(c, exact[c], model[c], total) for c in ordered),
        float(np.mean([distances[c] for c in singles(release.domain)])),
        float(np.mean([distances[c] for c in pairs])) if pairs else 0.0,
        {share: expected_loss(release, share) for share in SHARES},
        counts.unknown(table, release.domain),
        total,
        audited,
        tuple(utilities),
    )


def expected_loss(release: Release, share: float, workload: Sequence[Clique] = ()) -> ErrorBar:
    """The expected error of the declared segments if a random `share` of customers withdraws.

    `workload`: of these group-bys alone, if the release has any of them.

    The rows of these customers are then synthetic. Their part of a segment of size s has the noise
    sigma of its measurement, and who withdraws is random, so the relative error has the variance
    (share sigma/s)² + share (1 - share)/s. Computed from the public record alone.
    """
    spreads: list[NDArray[np.float64]] = []
    wanted = {frozenset(group) for group in workload}
    served = [each for each in release.served if frozenset(each.clique) in wanted]
    for each in served or release.served:
        sizes = each.values[each.values >= max(1, SERVED * release.rows)].astype(np.float64)
        chance = share * (1 - share) / sizes
        spreads.append(np.sqrt(share**2 * each.variance / sizes**2 + chance))
    errors = np.concatenate(spreads) if spreads else np.zeros(0)
    if not errors.size:
        return ErrorBar(float("inf"), float("inf"), "no segment is large enough")
    p95 = float(np.quantile(np.outer(errors, HALF_NORMAL), 0.95))
    return ErrorBar(float(errors.mean()) * MEAN_ABSOLUTE, p95, f"{share:.0%} withdrawn at random")


def html(evaluation: EvaluationReport) -> str:
    """The report as a self-contained HTML page without scripts; each chart has a table."""
    statement = escape(str(evaluation.release.statement))
    segments = [(" × ".join(each.clique), each.mean) for each in evaluation.segments]
    losses = [(f"{share:.0%}", error.mean) for share, error in evaluation.losses.items()]
    trends = [(" × ".join(each.clique), each.mean) for each in evaluation.trends]
    unknown = [(name, number / evaluation.total) for name, number in evaluation.unknown.items()]
    parts = [
        f"<h1>{escape(evaluation.release.id)}</h1><p>{statement}</p>",
        (
            "<p><strong>Diagnosis for the steward.</strong> Errors below compare with exact counts "
            "of consenting customers: they are not private and must not be published.</p>"
        ),
        _chart("Mean error of declared segments", segments),
        _chart("Mean error of trends", trends),
        _chart("Expected loss by share of customers withdrawn (public)", losses),
        _bars("Share of values outside the public domain, by column", unknown, 1.0),
        _utility(evaluation.utilities),
        (
            f"<p>Total variation distance: {evaluation.distance_one:.4f} for single columns, "
            f"{evaluation.distance_two:.4f} for pairs.</p>"
        ),
        _audit_line(evaluation.audit),
    ]
    style = (
        "body{font:16px system-ui;max-width:50em;margin:2em auto}td,th{padding:.1em 1em}"
        "figure{margin:0}text{font-size:13px}svg{max-width:100%}figcaption{color:#555}"
    )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Synthetic release</title>'
        f"<style>{style}</style><main>{''.join(parts)}</main></html>"
    )


def _finite(figure: float) -> float | None:
    """None for infinity, which JSON does not have: nothing can be promised."""
    return figure if np.isfinite(figure) else None


def _is_ordered(release: Release, name: str) -> bool:
    column = release.domain[name]
    return not isinstance(column, Categories) or column.ordered


def _errors(clique: Clique, exact: NDArray[Any], model: NDArray[Any], total: int) -> SegmentErrors:
    large = exact >= SERVED * total
    errors = np.abs(model[large] - exact[large]) / exact[large]
    if not errors.size:
        return SegmentErrors(clique, 0, 0.0, 0.0, 1.0)
    p95, within = float(np.quantile(errors, 0.95)), float((errors <= GOAL).mean())
    return SegmentErrors(clique, int(errors.size), float(errors.mean()), p95, within)


def _distance(exact: NDArray[Any], model: NDArray[Any]) -> float:
    return float(0.5 * np.abs(exact / max(1, exact.sum()) - model / model.sum()).sum())


def _percent(value: float) -> str:
    return f"{value:.2%}" if np.isfinite(value) else "nothing can be promised"


def _chart(title: str, figures: Sequence[tuple[str, float]]) -> str:
    """A bar chart of relative errors with the goal as a line."""
    finite = [value for _, value in figures if np.isfinite(value)]
    return _bars(title, figures, max([*finite, GOAL]), GOAL)


def _bars(
    title: str,
    figures: Sequence[tuple[str, float]],
    longest: float,
    goal: float | None = None,
    shown: Callable[[float], str] = _percent,
) -> str:
    """Horizontal bars as inline SVG, and the same figures as a table."""
    if not figures:
        return ""
    left = 8 * max(len(name) for name, _ in figures) + 24  # room for the names
    rows = (
        f'<text x="{left - 8}" y="{20 * row + 13}" text-anchor="end">{escape(name)}</text>'
        f'<rect x="{left}" y="{20 * row}" width="{min(value, longest) / longest * WIDTH:.1f}" '
        'height="16" fill="#2a6f97"/>'
        for row, (name, value) in enumerate(figures)
    )
    drawn, height, caption = "".join(rows), 20 * len(figures), escape(title)
    if goal is not None:
        at, caption = f"{left + goal / longest * WIDTH:.1f}", f"{caption}; red line: {goal:.1%}"
        drawn += f'<line x1="{at}" x2="{at}" y1="0" y2="{height}" stroke="#c1121f"/>'
    table = "".join(f"<tr><td>{escape(n)}</td><td>{shown(v)}</td></tr>" for n, v in figures)
    return (
        f'<h2>{escape(title)}</h2><figure><svg role="img" aria-label="{caption}" '
        f'width="{left + WIDTH + 10}" height="{height}">{drawn}</svg>'
        f"<figcaption>{caption}</figcaption></figure><table>{table}</table>"
    )


def _utility(utilities: Sequence[Utility]) -> str:
    """A chart of both classifiers of every target."""
    if not utilities:
        return (
            "<p>Model utility was not measured: it needs a target that the contract predicts, and "
            "real customers who were not in the fit.</p>"
        )
    trained = [("synthetic", "on_synthetic"), ("real", "on_real")]
    areas = [(f"{u.target}, {on}", float(getattr(u, at))) for u in utilities for on, at in trained]
    tried = ", ".join(f"{each.target} on {each.tried} customers" for each in utilities)
    title = "Area under the ROC curve, trained on synthetic and on real rows"
    drawn = _bars(title, areas, 1.0, shown="{:.3f}".format)
    return f"{drawn}<p>Tried: {escape(tried)} who were not in the fit.</p>"


def _audit_line(audited: Audit | None) -> str:
    if audited is None:
        return "<p>The noise has not been audited for this report.</p>"
    off = audited.empirical / audited.claimed - 1
    return (
        f"<p>Audit in two worlds: empirical mu {audited.empirical:.4f}, claimed "
        f"{audited.claimed:.4f} ({off:+.1%}); between {audited.low:.4f} and {audited.high:.4f} "
        "with a confidence of 99.9 %.</p>"
    )
