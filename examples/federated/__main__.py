"""Commands of the federated example: python -m examples.federated --help."""

import json
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from examples.federated import combine, measurements, plan

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
Rows = Annotated[Path, typer.Argument(help="CSV file: one row for each customer.", exists=True)]
Plan = Annotated[Path, typer.Option("--plan", help="What all sites measure.", exists=True)]
TIMES = 8  # synthetic rows for each customer: more show the model better, and cost no privacy


@app.command()
def measure(rows: Rows, site: str, file: Path, agreed: Plan = plan.TELECOM) -> None:
    """At a site: write the noisy counts of ROWS to FILE, which may leave the site."""
    what = plan.load(agreed)
    try:
        found = measurements.measured(_table(rows), site, what)
    except measurements.SiteFileError as error:
        _refuse(error)
    written = measurements.body(found, what)
    file.write_text(json.dumps(written), "utf-8")
    statement = written["statement"]
    typer.echo(f"{file}: {json.dumps(statement)}")


@app.command("combine")
def combined(
    files: Annotated[list[Path], typer.Argument(help="Files of the sites.", exists=True)],
    to: Annotated[Path, typer.Option(help="CSV file of synthetic rows to write.")],
    times: int = TIMES,
    agreed: Plan = plan.TELECOM,
) -> None:
    """At the combiner: fit one model to all files, and draw TIMES rows for each customer."""
    from pyarrow import csv

    what = plan.load(agreed)
    try:
        sites = [measurements.parse(each.read_bytes(), what) for each in files]
        drawn = combine.rows(sites, what, times)
    except measurements.SiteFileError as error:
        _refuse(error)
    csv.write_csv(drawn, to)
    typer.echo(f"{to}: {drawn.num_rows} synthetic rows of {len(sites)} sites")


@app.command()
def accuracy(
    pooled: Rows,
    combined_rows: Rows,
    held_out: Rows,
    target: str = "churn",
    agreed: Plan = plan.TELECOM,
) -> None:
    """Train one classifier on the pooled rows and on the combined model's; compare on HELD_OUT."""
    what = plan.load(agreed)
    unseen = _codes(held_out, what)
    scores = [_accuracy(_codes(each, what), unseen, target) for each in (pooled, combined_rows)]
    typer.echo(f"pooled {scores[0]:.4f}  combined {scores[1]:.4f}  gap {scores[0] - scores[1]:.4f}")


@app.command()
def split(rows: Rows, folder: Path, seed: int = 2026, agreed: Plan = plan.TELECOM) -> None:
    """Split ROWS for a trial: a quarter held out, the rest to two unlike sites, and to a pool."""
    import numpy as np
    import pyarrow as pa
    from pyarrow import csv

    columns = [*plan.load(agreed).domain.columns]
    table = _table(rows).select(*columns).to_pyarrow()
    random = np.random.Generator(np.random.PCG64(seed))
    chance = random.random(table.num_rows)
    fibre = np.array(table["internetservice"].to_pylist()) == "Fiber optic"
    north = random.random(table.num_rows) < np.where(fibre, 0.7, 0.35)
    inside = chance >= 0.25  # noqa: PLR2004 - a quarter
    parts = {
        "held_out": ~inside, "pooled": inside, "north": inside & north, "south": inside & ~north
    }  # fmt: skip
    for name, chosen in parts.items():
        csv.write_csv(table.filter(pa.array(chosen)), folder / f"{name}.csv")


def _refuse(error: measurements.SiteFileError) -> NoReturn:
    typer.echo(f"refused: {error}", err=True)
    raise typer.Exit(1) from error


def _table(path: Path) -> Any:
    import ibis

    kinds = ["BIGINT", "DOUBLE", "VARCHAR"]  # "Yes" and "No" stay texts
    read = ibis.duckdb.connect().read_csv(str(path), auto_type_candidates=kinds)
    return read.rename({name.lower(): name for name in read.columns})


def _codes(path: Path, agreed: plan.FederatedPlan) -> Any:
    from synthetic.model import sample

    return sample.encode(agreed.domain, _table(path).select(*agreed.domain.columns).to_pyarrow())


def _accuracy(trained: Any, unseen: Any, target: str) -> float:
    """The share of held-out customers whose target gradient boosting predicts."""
    import numpy as np
    from sklearn.ensemble import HistGradientBoostingClassifier
    from threadpoolctl import threadpool_limits

    names = [name for name in trained if name != target]
    model = HistGradientBoostingClassifier(random_state=0, learning_rate=0.05, max_depth=3)
    with threadpool_limits(1, user_api="openmp"):  # several threads are slower on this size
        model.fit(np.column_stack([trained[name] for name in names]), trained[target])
        guessed = model.predict(np.column_stack([unseen[name] for name in names]))
    return float(np.mean(guessed == unseen[target]))


if __name__ == "__main__":
    app()
