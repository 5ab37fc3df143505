"""Utility of synthetic rows for models: train on synthetic rows, test on real customers.

The only module of this package that reads rows of customers. Its figures are for the steward only:
they are not differentially private, and nothing of them enters a release.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthetic.fitting.release import Release
from synthetic.model import sample
from synthetic.model.domain import Domain

Codes = NDArray[np.int64]
MAX_ROWS = 50_000  # for training or testing a classifier


@dataclass(frozen=True, slots=True)
class Utility:
    """Areas under the ROC curve for one target, tested on the same `tried` held-out customers.

    For a target with several values it is their mean, weighted by share.
    """

    target: str
    on_synthetic: float
    on_real: float
    tried: int

    @property
    def gap(self) -> float:
        return self.on_real - self.on_synthetic

    def body(self) -> dict[str, object]:
        figures = {"trained_on_synthetic": self.on_synthetic, "trained_on_real": self.on_real}
        return {"target": self.target, **figures, "gap": self.gap, "tried_on": self.tried}


def utility(release: Release, table: Any, held_out: Any, target: str) -> Utility | None:
    """Train on a sample of the release and on `table`, the rows of the fit; test on `held_out`.

    Both are Ibis tables with the domain's columns. Returns None if the held-out customers or a
    training set have only one value of the target.
    """
    real, unseen = (_codes(release.domain, each) for each in (table, held_out))
    size = min(len(real[target]), MAX_ROWS)
    drawn = release.sample(size, [*release.domain.columns])
    synthetic = sample.encode(release.domain, drawn)
    if min(np.unique(each[target]).size for each in (real, synthetic, unseen)) < 2:  # noqa: PLR2004 - two sides
        return None
    ours, theirs = (_score(trained, unseen, target) for trained in (synthetic, real))
    return Utility(target, ours, theirs, len(unseen[target]))


def _codes(domain: Domain, table: Any) -> dict[str, Codes]:
    rows = table.select(*domain.columns).limit(MAX_ROWS).to_pyarrow()
    return sample.encode(domain, rows)


def _score(trained: Mapping[str, Codes], unseen: Mapping[str, Codes], target: str) -> float:
    """Train gradient boosting with the same settings for both; return its area under the curve."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from threadpoolctl import threadpool_limits

    model = HistGradientBoostingClassifier(random_state=0)
    with threadpool_limits(1, user_api="openmp"):  # several threads are slower on this size
        model.fit(_features(trained, target), trained[target])
        chances = model.predict_proba(_features(unseen, target))
    return _area(dict(zip(model.classes_.tolist(), chances.T, strict=True)), unseen[target])


def _area(chances: Mapping[int, NDArray[np.float64]], truth: Codes) -> float:
    """The mean area of each value against all others, weighted by how often it is the true one."""
    from sklearn.metrics import roc_auc_score

    values, times = np.unique(truth, return_counts=True)
    unknown = np.zeros(len(truth))  # a value missing in training is predicted by chance
    areas = [roc_auc_score(truth == value, chances.get(int(value), unknown)) for value in values]
    return float(np.average(areas, weights=times))


def _features(codes: Mapping[str, Codes], target: str) -> Codes:
    return np.column_stack([each for name, each in codes.items() if name != target])
