"""`sovereign synth`: fit, sample and judge synthetic releases; recompute their budget."""

import json
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from synthetic.release import Release

app = typer.Typer(help="Synthetic releases: fit, sample, report, budget.", no_args_is_help=True)

Body = Annotated[Path, typer.Argument(help="A release's public record, as JSON.")]
Rows = Annotated[Path, typer.Option("--rows", help="Parquet or CSV: one row per customer.")]
Scene = Annotated[Path, typer.Option("--scene", help="A scene contract (ODCS YAML).")]
Source = Annotated[Path, typer.Option("--source", help="The source contract it is over.")]


@app.command()
def fit(
    rows: Rows,
    scene: Scene,
    source: Source,
    to: Annotated[Path, typer.Option("--to", help="Where the public record is written.")],
    epsilon: Annotated[float, typer.Option(help="Privacy loss, together with --delta.")] = 1.0,
    delta: Annotated[float, typer.Option(help="Well below 1 / number of customers.")] = 1e-6,
    like: Annotated[
        Path | None, typer.Option("--like", help="Measure what this earlier release measured.")
    ] = None,
) -> None:
    """Fit a release on ROWS, which must hold consenting customers only.

    Interrupting before the record is written leaves no release; no budget account is kept here.
    """
    from gate.contract import load_scene, load_source
    from synthetic.fit import fit as fitting

    contract = load_scene(scene, load_source(source))
    with _progress(f"Fitting {contract.id}"):
        release = fitting(
            _table(rows, [*contract.domain.columns]),
            scene=contract.id,
            domain=contract.domain,
            workload=[*contract.workload, *((name,) for name in contract.trends)],
            loss=(Fraction(str(epsilon)), Fraction(str(delta))),
            at=datetime.now(UTC),
            ledger_size=0,
            contract=f"{contract.id} {contract.version} {contract.digest}",
            like=_release(like) if like else None,
        )
    to.write_text(json.dumps(release.body(), ensure_ascii=False) + "\n", encoding="utf-8")
    typer.echo(f"{release.id}: about {release.rows} customers\n{release.statement}")


@app.command()
def sample(
    body: Body,
    to: Annotated[Path, typer.Option("--to", help="Parquet file to write.")],
    rows: Annotated[int, typer.Option(min=0)] = 1000,
) -> None:
    """Draw synthetic rows. Post-processing: it costs no budget."""
    import pyarrow.parquet as pq

    release = _release(body)
    with _progress(f"Drawing {rows} rows"):
        pq.write_table(release.sample(rows, [*release.domain.columns]), to)
    typer.echo(f"{rows} synthetic rows of {release.id} in {to}")


@app.command()
def report(
    body: Body,
    rows: Rows,
    to: Annotated[Path, typer.Option("--to", help="HTML file to write; JSON lies beside it.")],
    audit: Annotated[
        bool, typer.Option("--audit", help="Measure the noise in two worlds.")
    ] = False,
) -> None:
    """Compare a release with the rows it was fitted on. For the steward: not private."""
    from synthetic import evaluate
    from synthetic.audit import audit as auditing

    release = _release(body)
    with _progress("Comparing"):
        audited = auditing(release, trials=4_000) if audit else None
        found = evaluate.report(release, _table(rows, [*release.domain.columns]), audited)
    to.write_text(evaluate.html(found), encoding="utf-8")
    beside = to.with_suffix(".json")
    beside.write_text(json.dumps(found.body(), indent=2, ensure_ascii=False), encoding="utf-8")
    typer.echo(f"{to} and {beside}")


@app.command()
def budget(
    bodies: Annotated[Path, typer.Argument(help="Public records, one JSON a line, in log order.")],
    limit: Annotated[
        list[str], typer.Option("--limit", help="SCENE=P/Q: rho that a period may spend.")
    ],
) -> None:
    """Recompute what every scene has spent. Exit status 1: the records break a rule."""
    from synthetic import release as releases
    from synthetic import spending
    from synthetic.budget import PrivacyLoss, exact, parse_exact

    records = [json.loads(line) for line in bodies.read_text(encoding="utf-8").splitlines()]
    pairs = [each.partition("=") for each in limit]
    limits = {scene: PrivacyLoss(parse_exact(rho)) for scene, _, rho in pairs}
    found = spending.verify(records, limits)
    for (scene, period), account in sorted(found.accounts.items()):
        spent, left = exact(account.spent.rho), exact(account.left.rho)
        typer.echo(f"{scene} {period}: spent rho {spent}, left {left}")
    for each in found.findings:
        typer.echo(each, err=True)
    for body in records:
        if body["format"] == spending.RELEASE:
            releases.verify(releases.Release.from_body(body))
    raise typer.Exit(1 if found.findings else 0)


@app.command()
def provenance() -> None:
    """Print what a release of this installation says it was made by, and the lines behind it."""
    from synthetic import provenance as made

    typer.echo(f"code {made.code()}")
    for line in sorted(made.files(Path(made.__file__).parent)):
        typer.echo(f"  {line}")
    typer.echo(f"lock {made.lock()}")
    for line in sorted(made.versions(made.DISTRIBUTION)):
        typer.echo(f"  {line}")


def _release(path: Path) -> "Release":
    from synthetic.release import Release

    return Release.from_body(json.loads(path.read_text(encoding="utf-8")))


def _table(rows: Path, columns: list[str]) -> Any:
    """As text where a CSV is read: domains say what values mean, not a guess at types."""
    import ibis

    connection = ibis.duckdb.connect()
    if rows.suffix == ".parquet":
        return connection.read_parquet(rows).select(*columns)
    return connection.read_csv(rows, all_varchar=True).select(*columns)


def _progress(what: str) -> Any:
    from rich.console import Console

    return Console(stderr=True).status(what)
