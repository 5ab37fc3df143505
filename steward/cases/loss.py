"""The expected loss of accuracy from a change, measured on the scene's synthetic release."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import isfinite

from synthetic.evaluation.evaluate import expected_loss
from synthetic.fitting.release import Release
from synthetic.model.marginals import Clique


@dataclass(frozen=True, slots=True)
class Loss:
    """The expected relative error of the scene's declared segments: `mean`, and the bound `p95`
    that 95 of 100 keep, when `share` of its customers are answered from `release`.

    See synthetic.evaluation.evaluate.expected_loss, whose figures these are.
    """

    mean: float
    p95: float
    share: float
    release: str

    def text(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)


def parse(text: str) -> Loss:
    """Parse the output of `Loss.text`."""
    return Loss(**json.loads(text))


def measured(
    release: Release | None, count: int, live: int, workload: Sequence[Clique] = ()
) -> Loss | None:
    """The loss after `count` of `live` customers are gone, in the scene's group-bys `workload`.

    None if it cannot be measured: there is no release, or no segment is large enough.
    """
    if release is None or live <= 0:
        return None
    share = min(1.0, count / live)
    expected = expected_loss(release, share, workload)
    return Loss(expected.mean, expected.p95, share, release.id) if isfinite(expected.mean) else None
