"""smartnoise-synth's MST and AIM with their own defaults; the public domain is handed to them."""

import numpy as np
import pandas as pd
from snsynth.aim import AIMSynthesizer
from snsynth.mst import MSTSynthesizer
from snsynth.transform import LabelTransformer, TableTransformer

from benchmarks.peers_synthetic.exchange import Draw, Fit, Rows, Task, serve


def of(synthesizer: type) -> Fit:
    def fit(task: Task, train: Rows) -> Draw:
        made = synthesizer(epsilon=task.epsilon, delta=task.delta)
        made.fit(pd.DataFrame(train, columns=task.columns), transformer=_domain(task))
        return lambda rows: np.asarray(made.sample(rows), dtype=np.int64)

    return fit


def _domain(task: Task) -> TableTransformer:
    """Fitted to every code there may be, so that none is read from the data."""
    sizes = [*task.sizes.values()]
    every = [tuple(min(code, size - 1) for size in sizes) for code in range(max(sizes))]
    known = TableTransformer([LabelTransformer(nullable=False) for _ in sizes])
    known.fit(every)
    return known


if __name__ == "__main__":
    serve({"MST": of(MSTSynthesizer), "AIM": of(AIMSynthesizer)})
