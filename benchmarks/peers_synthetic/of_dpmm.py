"""dpmm's PrivBayes, MST and AIM with its defaults, on coded data: no budget goes to binning."""

import pandas as pd
from dpmm.pipelines import AIMPipeline, MSTPipeline, PrivBayesPipeline

from benchmarks.peers_synthetic.exchange import Draw, Fit, Rows, Task, serve


def of(pipeline: type) -> Fit:
    def fit(task: Task, train: Rows) -> Draw:
        made = pipeline(epsilon=task.epsilon, delta=task.delta, disable_processing=True, n_jobs=1)
        made.fit(pd.DataFrame(train, columns=task.columns), domain=dict(task.sizes))
        return lambda rows: made.generate(n_records=rows)[task.columns].to_numpy()

    return fit


if __name__ == "__main__":
    serve({"PrivBayes": of(PrivBayesPipeline), "MST": of(MSTPipeline), "AIM": of(AIMPipeline)})
