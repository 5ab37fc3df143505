"""Completing the table view: which rows to add for those who withdrew, whoever they are.

Synthetic rows drawn like the rows that stayed repeat the bias of who stayed. Four modes, named in
every answer with their error bar:

- release-anchored: the noisy counts of the last release made while they still consented, minus the
  counts of the rows that stayed, are noisy counts of those who left (synthetic.completion.leavers
  takes most of the noise out again). Post-processing of a release; it costs no budget.
- dp-counts: their number per coarse cell, measured with a budget of its own; inside a cell they
  are drawn as the current release has it.
- stratum: drawn given the fields they still authorise.
- naive: drawn as those who stayed. Repairs nothing.

Withdrawn values are read by none of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import NormalDist
from typing import Any

import numpy as np

from synthetic.completion import leavers
from synthetic.completion.mode import Mode
from synthetic.fitting.release import Release
from synthetic.model import conditional, consistency, counts, measure, sample
from synthetic.model.consistency import Noisy, Reconciled
from synthetic.model.domain import Domain
from synthetic.model.graphical_model import model_of
from synthetic.model.inference import TINY, Beliefs, believed, estimate
from synthetic.model.marginals import Clique
from synthetic.model.measure import Measurement
from synthetic.model.sample import Codes
from synthetic.privacy.budget import PrivacyLoss
from synthetic.privacy.mechanisms import Noise, OperatingSystemNoise, post_processing

SERVED = 0.01  # an error bar speaks of segments of at least this share of all rows
MEAN_ABSOLUTE = 0.7978845608  # of a Gaussian, in units of sigma: sqrt(2/pi)
HALF_NORMAL = np.array([NormalDist().inv_cdf(0.5 + (k + 0.5) / 400) for k in range(200)])


class CompletionError(ValueError):
    """A mode lacks what it rests on."""


@dataclass(frozen=True, slots=True)
class ErrorBar:
    """Expected relative error of a segment's count in the completed table, before smoothing.

    `covers` says what it speaks of: nothing covers more than the noise that was added.
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
    """`rows` rows to add to the authorised ones, as codes of `domain`."""

    mode: Mode
    error: ErrorBar
    domain: Domain
    rows: int
    codes: Mapping[str, Codes]

    def table(self, columns: Sequence[str]) -> Any:
        """The rows as an Arrow table of values. Numbers fall anew inside their bin at each call."""
        generator = post_processing()
        return sample.decode(
            self.domain, self.codes, columns, lambda _name: generator.random(self.rows)
        )


@dataclass(frozen=True)
class CompletionTask:
    """What a completion may rest on. `authorised`: an Ibis table of the rows that stay, of `total`.

    `anchor`: the last release made while those who left still consented. `controls`: see
    `measure_controls`. `strata`: an Arrow table of what those who left still authorise, a row each.
    `columns`: those wanted; all of the domain if none is named. `release-anchored` counts no other.
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
    """Raises CompletionError when `task` lacks what `mode` rests on."""
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
    """DP counts per coarse cell of those who do not consent, where a contract permits these.

    `withdrawn`: an Ibis table of theirs. Charged to its own account by the caller, beforehand.
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
    return Completion(
        Mode.RELEASE_ANCHORED,
        _noise_bar(_served(consistency.reconciled(before), anchor), anchor.rows),
        domain,
        task.missing,
        _drawn(believed(domain, marginals, task.missing), task.missing),
    )


def _served(found: Sequence[Reconciled], anchor: Release) -> Sequence[Reconciled]:
    """What the scene declares, as far as it lies within the columns found; else all of them."""
    within = {name for each in found for name in each.clique}
    served = {tuple(n for n in clique if n in within) for clique in anchor.workload}
    return [each for each in found if each.clique in served] or found


def _controlled(task: CompletionTask) -> Completion:
    controls = _require(task.controls, Mode.DP_COUNTS, "counts of those who do not consent")
    moved = [_moved(task.current, each, controls) for each in task.current.measurements]
    beliefs = estimate(task.current.domain, [*moved, controls])
    codes = _drawn(beliefs, task.missing)
    return _completion(task, Mode.DP_COUNTS, codes, _noise_bar([controls], task.total))


def _moved(release: Release, measured: Measurement, controls: Measurement) -> Measurement:
    """What the measurement would be among those who left, had only the controls moved."""
    extra = tuple(name for name in controls.clique if name not in measured.clique)
    names = (*measured.clique, *extra)
    joint = release.beliefs.marginal(names)
    kept = [names.index(name) for name in controls.clique]
    away = tuple(axis for axis in range(len(names)) if axis not in kept)
    now = joint.sum(axis=away).transpose(np.argsort(np.argsort(kept)))
    ratio = np.maximum(controls.values, 0) / np.maximum(now, TINY)
    order = np.argsort(kept)
    shape = [side if axis in kept else 1 for axis, side in enumerate(joint.shape)]
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
    """From the released noise and the released counts of the cells that are large enough."""
    spreads = [each.variance**0.5 / each.values[each.values >= SERVED * total] for each in measured]
    errors = np.concatenate(spreads) if spreads else np.zeros(0)
    if not errors.size:
        return ErrorBar(float("inf"), float("inf"), "no segment is large enough")
    p95 = float(np.quantile(np.outer(errors, HALF_NORMAL), 0.95))
    return ErrorBar(float(errors.mean()) * MEAN_ABSOLUTE, p95, "noise of the counts it rests on")


def _require(found: Any, mode: Mode, what: str) -> Any:
    if found is None:
        raise CompletionError(f"mode {mode} rests on {what}, none was given: choose another mode")
    return found
