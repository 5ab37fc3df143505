"""MST and AIM over mbi 2, in the environment of the product; (epsilon, delta) as ours are."""

from fractions import Fraction
from itertools import combinations
from typing import Any

import numpy as np

from benchmarks.peers_synthetic import aim, mst
from benchmarks.peers_synthetic.exchange import Draw, Rows, Task, serve
from synthetic.privacy.budget import loss_within


def tree(task: Task, train: Rows) -> Draw:
    return _draw(task, mst.fit(task.sizes, train, _rho(task), np.random.default_rng()))


def every_pair(task: Task, train: Rows) -> Draw:
    """All pairs at the same weight: what AIM is usually run with."""
    return _adaptive(task, train, dict.fromkeys(combinations(task.columns, 2), 1.0))


def declared(task: Task, train: Rows) -> Draw:
    """All pairs as well, and half of the weight on the group-bys that the contract declares."""
    pairs = [*combinations(task.columns, 2)]
    workload: dict[tuple[str, ...], float] = dict.fromkeys(pairs, 1.0)
    for clique in task.workload:
        workload[clique] = workload.get(clique, 0.0) + len(pairs) / len(task.workload)
    return _adaptive(task, train, workload)


def _adaptive(task: Task, train: Rows, workload: dict[tuple[str, ...], float]) -> Draw:
    generator = np.random.default_rng()
    return _draw(task, aim.fit(task.sizes, train, _rho(task), workload, generator).model)


def _rho(task: Task) -> float:
    return float(loss_within(Fraction(str(task.epsilon)), Fraction(str(task.delta))).rho)


def _draw(task: Task, model: Any) -> Draw:
    def draw(rows: int) -> Rows:
        found = model.synthetic_data(rows=rows).data
        return np.stack([np.asarray(found[name], dtype=np.int64) for name in task.columns], axis=1)

    return draw


if __name__ == "__main__":
    serve({"MST": tree, "AIM": every_pair, "AIM, declared": declared})
