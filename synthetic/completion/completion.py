"""Complete a table with synthetic rows in place of customers who withdrew.

Rows drawn like those that stayed would repeat the bias of who stayed. There are four modes; every
answer names its mode and error bar:

- release-anchored: the noisy counts of the last release made while they still consented, minus the
  counts of the rows that stayed, are noisy counts of those who left (synthetic.completion.leavers
  removes most of the noise). This is post-processing of a release and costs no budget.
- dp-counts: the number of missing customers per coarse cell is measured with a budget of its own;
  inside a cell, rows are drawn from the current release.
- stratum: rows are drawn given the fields that the missing customers still authorise.
- naive: rows are drawn like those that stayed. It corrects nothing.

No mode reads withdrawn values.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from statistics import NormalDist
from typing import Any

import numpy as np

from synthetic.completion import leavers
from synthetic.completion.mode import Mode
from synthetic.fitting.release import Release
from synthetic.model import conditional, consistency, counts, inference, measure, sample
from synthetic.model.consistency import Floats, Noisy, Reconciled
from synthetic.model.counts import Counts
from synthetic.model.domain import Domain
from synthetic.model.graphical_model import model_of
from synthetic.model.inference import TINY, Beliefs, believed, estimate
from synthetic.model.marginals import Clique
from synthetic.model.measure import Measurement
from synthetic.model.sample import Codes
from synthetic.privacy.budget import PrivacyLoss
from synthetic.privacy.mechanisms import Noise, OperatingSystemNoise, post_processing

SERVED = 0.01  # an error bar covers segments of at least this share of all rows
MEAN_ABSOLUTE = 0.7978845608  # of a Gaussian, in units of sigma: sqrt(2/pi)
HALF_NORMAL = np.array([NormalDist().inv_cdf(0.5 + (k + 0.5) / 400) for k in range(200)])


class CompletionError(ValueError):
    """An input that the mode needs is missing."""


@dataclass(frozen=True, slots=True)
class ErrorBar:
    """Expected relative error of a segment's count in the completed table, before smoothing.

    `covers` says which error it includes: never more than that of the added noise.
    """

    mean: float
    p95: float
    covers: str

    def __str__(self) -> str:
        return (
            f"±{self.mean:.1%} on average, ±{self.p95:.1%} at the 95th percentile ({self.covers})"
        )


@dataclass(frozen=True)
class Completion:
    """The `rows` rows to add to the authorised ones, as codes of `domain`."""

    mode: Mode
    error: ErrorBar
    domain: Domain
    rows: int
    codes: Mapping[str, Codes]

    def table(self, columns: Sequence[str]) -> Any:
        """The rows as an Arrow table. Numbers are placed in their bin at random at each call."""
        generator = post_processing()
        return sample.decode(
            self.domain, self.codes, columns, lambda _name: generator.random(self.rows)
        )


@dataclass(frozen=True)
class CompletionTask:
    """The inputs of a completion.

    `authorised`: an Ibis table of the rows that stay, out of `total`. `anchor`: the last release
    made while those who left still consented. `controls`: see `measure_controls`. `strata`: an
    Arrow table of the fields that those who left still authorise, one row each. `columns`: the
    wanted columns; if empty, all of the domain. `release-anchored` counts no others.
    """

    authorised: Any
    total: int
    current: Release
    anchor: Release | None = None
    controls: Measurement | None = None
    strata: Any = None
    columns: tuple[str, ...] = ()

    def asked(self, domain: Domain) -> Sequence[str]:
        return [name for name in domain.columns if name in self.columns] or [*domain.columns]

    @cached_property
    def missing(self) -> int:
        return max(0, self.total - int(self.authorised.count().to_pyarrow().as_py()))


def complete(task: CompletionTask, mode: Mode) -> Completion:
    """Complete the table. Raises CompletionError if `task` lacks an input that `mode` needs."""
    match mode:
        case Mode.RELEASE_ANCHORED:
            return _anchored(task)
        case Mode.DP_COUNTS:
            return _controlled(task)
        case Mode.STRATUM:
            return _stratified(task)
        case Mode.NAIVE:
            return _completion(task, mode, _drawn(task.current.beliefs, task.missing), _UNKNOWN)


def measure_controls(
    withdrawn: Any, domain: Domain, clique: Clique, loss: PrivacyLoss, noise: Noise | None = None
) -> Measurement:
    """Differentially private counts per coarse cell of those who do not consent.

    Only where a contract permits it. `withdrawn`: an Ibis table of their rows. The caller has
    charged `loss` to an account of its own before.
    """
    exact = counts.count(withdrawn, domain, [clique])[clique]
    return measure.gaussian(exact, clique, 1, loss, noise or OperatingSystemNoise())


def _anchored(task: CompletionTask) -> Completion:
    anchor = _require(task.anchor, Mode.RELEASE_ANCHORED, "a release made before they withdrew")
    domain = anchor.domain.restricted(task.asked(anchor.domain))
    every = (consistency.projected(each, domain.columns) for each in anchor.measurements)
    before = [each for each in every if each.clique]
    stayed = counts.count(task.authorised, domain, [each.clique for each in before])
    grown = task.total / max(1, anchor.rows)
    left = leavers.differences(before, stayed, grown)
    marginals = leavers.marginals(left, stayed, task.missing)
    # Where most rows are drawn, their counts should be those of the release; among many rows that
    # stayed, a smoother model has the smaller error.
    stages = inference.CLOSER if 2 * task.missing > task.total else inference.STAGES
    codes = _drawn(believed(domain, marginals, task.missing, stages), task.missing)
    served = _served(consistency.reconciled(before), anchor)
    given = [_completed(domain, codes, each.clique, stayed) for each in served]
    error = _anchored_bar(served, given, grown, anchor.rows)
    return Completion(Mode.RELEASE_ANCHORED, error, domain, task.missing, codes)


def _completed(
    domain: Domain, codes: Mapping[str, Codes], clique: Clique, stayed: Mapping[Clique, Counts]
) -> Floats:
    """The counts of the completed table."""
    shape = domain.shape(clique)
    cells = np.ravel_multi_index([codes[name] for name in clique], shape)
    added = np.bincount(cells, minlength=prod(shape)).reshape(shape)
    return np.asarray(added + stayed[clique], dtype=np.float64)


def _served(marginals: Sequence[Reconciled], anchor: Release) -> Sequence[Reconciled]:
    """The declared marginals within the given columns; if there are none, all marginals."""
    within = {name for each in marginals for name in each.clique}
    served = {tuple(n for n in clique if n in within) for clique in anchor.workload}
    return [each for each in marginals if each.clique in served] or marginals


def _controlled(task: CompletionTask) -> Completion:
    controls = _require(task.controls, Mode.DP_COUNTS, "counts of those who do not consent")
    moved = [_moved(task.current, each, controls) for each in task.current.measurements]
    beliefs = estimate(task.current.domain, [*moved, controls])
    codes = _drawn(beliefs, task.missing)
    return _completion(task, Mode.DP_COUNTS, codes, _noise_bar([controls], task.total))


def _moved(release: Release, measured: Measurement, controls: Measurement) -> Measurement:
    """The measurement among those who left, if they differ from the rest only in the controls."""
    extra = tuple(name for name in controls.clique if name not in measured.clique)
    names = (*measured.clique, *extra)
    joint = release.beliefs.marginal(names)
    control_axes = [names.index(name) for name in controls.clique]
    away = tuple(axis for axis in range(len(names)) if axis not in control_axes)
    now = joint.sum(axis=away).transpose(np.argsort(np.argsort(control_axes)))
    ratio = np.maximum(controls.values, 0) / np.maximum(now, TINY)
    order = np.argsort(control_axes)
    shape = [side if axis in control_axes else 1 for axis, side in enumerate(joint.shape)]
    weighted = joint * ratio.transpose(order).reshape(shape)
    values = weighted.sum(axis=tuple(range(len(measured.clique), len(names))))
    return replace(measured, values=np.rint(values).astype(np.int64))


def _stratified(task: CompletionTask) -> Completion:
    strata = _require(task.strata, Mode.STRATUM, "the fields that they still authorise")
    known = sample.encode(task.current.domain, strata)
    if not known or strata.num_rows != task.missing:
        raise CompletionError(
            f"the strata have {strata.num_rows} rows over {[*known]}, want {task.missing} over "
            "at least one column of the domain: use mode naive or release-anchored"
        )
    return _completion(task, Mode.STRATUM, _given(task.current, known), _UNKNOWN)


def _given(release: Release, known: Mapping[str, Codes]) -> dict[str, Codes]:
    generator = post_processing()
    rows = len(next(iter(known.values())))
    drawn = conditional.draw(release.beliefs, known, lambda _name: generator.random(rows))
    return {**known, **drawn}


def _drawn(beliefs: Beliefs, rows: int) -> dict[str, Codes]:
    return sample.draw(model_of(beliefs), rows, sample.balanced(post_processing()))


def _completion(
    task: CompletionTask, mode: Mode, codes: Mapping[str, Codes], error: ErrorBar
) -> Completion:
    return Completion(mode, error, task.current.domain, task.missing, codes)


_UNKNOWN = ErrorBar(float("inf"), float("inf"), "who withdrew is not corrected for")


def _noise_bar(measured: Sequence[Noisy], total: int) -> ErrorBar:
    """The error bar from released noise and counts, for cells that are large enough."""
    spreads = [each.variance**0.5 / each.values[each.values >= SERVED * total] for each in measured]
    errors = np.concatenate(spreads) if spreads else np.zeros(0)
    if not errors.size:
        return ErrorBar(float("inf"), float("inf"), "no segment is large enough")
    p95 = float(np.quantile(np.outer(errors, HALF_NORMAL), 0.95))
    return ErrorBar(float(errors.mean()) * MEAN_ABSOLUTE, p95, "noise of the counts it rests on")


def _anchored_bar(
    served: Sequence[Noisy], given: Sequence[Floats], grown: float, total: int
) -> ErrorBar:
    """The error bar of completed counts: the release's noise, and how far they are from it.

    `given`: the counts of the completed table over the same cliques. They differ from the noisy
    counts because noise is taken out, and because rows are whole and few models explain every count
    exactly. Taken as an error in full, this is on the safe side.
    """
    spreads, away = [], []
    for noisy, counted in zip(served, given, strict=True):
        large = noisy.values >= SERVED * total
        spreads.append(noisy.variance**0.5 / noisy.values[large])
        away.append(np.abs(counted[large] / (noisy.values[large] * grown) - 1))
    if not served or not sum(map(len, spreads)):
        return ErrorBar(float("inf"), float("inf"), "no segment is large enough")
    spread, off = np.concatenate(spreads), np.concatenate(away)
    signs = np.concatenate([-HALF_NORMAL, HALF_NORMAL])
    errors = np.abs(np.outer(spread, signs) + off[:, None])
    groups = ", ".join(" x ".join(each.clique) for each in served)
    covers = (
        f"segments by {groups}, and by no other combination: noise of the counts it rests on, and "
        "how closely the rows follow them"
    )
    return ErrorBar(float(errors.mean()), float(np.quantile(errors, 0.95)), covers)


def _require(value: Any, mode: Mode, what: str) -> Any:
    if value is None:
        raise CompletionError(f"mode {mode} needs {what}, none was given: choose another mode")
    return value
