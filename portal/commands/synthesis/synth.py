"""`sovereign synth`: fit, sample and judge synthetic releases; recompute their budget."""

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from ledger import clock

if TYPE_CHECKING:
    from gate.contracts.scene import Scene as Contract
    from synthetic.evaluation.evaluate import EvaluationReport
    from synthetic.fitting.release import Release

Made = TypeVar("Made")

app = typer.Typer(help="Synthetic releases: fit, sample, report, budget.", no_args_is_help=True)

Body = Annotated[Path, typer.Argument(help="A release's public record, as JSON.")]
Rows = Annotated[Path, typer.Option("--rows", help="Parquet or CSV: the customers' rows.")]
Scene = Annotated[Path, typer.Option("--scene", help="A scene contract (ODCS YAML).")]
Source = Annotated[Path, typer.Option("--source", help="The source contract it is over.")]
Customer = Annotated[
    str | None, typer.Option("--customer", help="The column that says whose a row is.")
]
Contribution = Annotated[
    int, typer.Option("--contribution", help="Rows of one customer that are counted, at most.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")]


@app.command()
def fit(  # noqa: PLR0913, PLR0917 - one option each
    rows: Rows,
    scene: Scene,
    source: Source,
    to: Annotated[Path, typer.Option("--to", help="Where the public record is written.")],
    epsilon: Annotated[float, typer.Option(help="Privacy loss, together with --delta.")] = 1.0,
    delta: Annotated[float, typer.Option(help="Well below 1 / number of customers.")] = 1e-6,
    like: Annotated[
        Path | None, typer.Option("--like", help="Measure what this earlier release measured.")
    ] = None,
    customer: Customer = None,
    contribution: Contribution = 1,
    records: Annotated[
        Path | None,
        typer.Option("--records", help="The budget ledger. Default: beside --to, .records.jsonl."),
    ] = None,
    limit: Annotated[str, typer.Option(help="P/Q: rho that a year may spend.")] = "1/8",
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the fit that was interrupted.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Fit a release on ROWS, which must hold consenting customers only.

    The debit is recorded before anything is measured, and each stage is kept beside --to until the
    release is recorded. Interrupted (Ctrl-C) or killed, the same command with --resume goes on and
    spends nothing twice. Exit status 1: refused, and why. 130: interrupted.
    """
    from portal.commands.synthesis.fitting import Fitting
    from portal.operations.budget_records import Records
    from synthetic.privacy.budget import PrivacyLoss, parse_exact

    def fitting() -> "Release":
        fit = Fitting(
            contract=_contract(scene, source),
            records=Records(
                records or to.with_suffix(".records.jsonl"), PrivacyLoss(parse_exact(limit))
            ),
            to=to,
            loss=(Fraction(str(epsilon)), Fraction(str(delta))),
            bounds=(contribution, customer),
            like=_release(like) if like else None,
        )
        names = [*fit.contract.domain.columns, *([customer] if customer else [])]
        return (fit.go_on if resume else fit.begin)(_table(rows, names), clock.now())

    release = _refusing(fitting)
    if as_json:
        typer.echo(json.dumps(_summary(release, to)))
    else:
        typer.echo(f"{release.id}: about {release.rows} rows\n{release.statement}")


@app.command()
def sample(
    body: Body,
    to: Annotated[Path, typer.Option("--to", help="Parquet file to write.")],
    rows: Annotated[int, typer.Option(min=0)] = 1000,
    as_json: AsJson = False,
) -> None:
    """Draw synthetic rows. Post-processing: it costs no budget."""
    import pyarrow.parquet as pq

    from ledger.tlog import atomic_file

    release = _release(body)
    with _progress(f"Drawing {rows} rows"):
        table = release.sample(rows, [*release.domain.columns])
        with atomic_file.writing(to) as file:
            pq.write_table(table, file)
    if as_json:
        typer.echo(json.dumps({"release": release.id, "rows": rows, "file": str(to)}))
    else:
        typer.echo(f"{rows} synthetic rows of {release.id} in {to}")


@app.command()
def report(  # noqa: PLR0913, PLR0917 - one option each
    body: Body,
    rows: Rows,
    to: Annotated[Path, typer.Option("--to", help="HTML file to write; JSON lies beside it.")],
    held_out: Annotated[
        Path | None,
        typer.Option("--held-out", help="Real rows that were not in the fit: models are tried."),
    ] = None,
    target: Annotated[
        list[str] | None,
        typer.Option("--target", help="A column that models predict: see `predicts`."),
    ] = None,
    customer: Customer = None,
    audit: Annotated[
        bool, typer.Option("--audit", help="Measure the noise in two worlds, for a minute.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Compare a release with the rows it was fitted on. For the steward: not private."""
    from portal.commands.synthesis.reporting import Reporting

    release = _release(body)
    names = [*release.domain.columns, *([customer] if customer else [])]
    reporting = Reporting(release, [*(target or ())], customer)

    def found() -> "EvaluationReport":
        with _progress("Comparing"):
            return reporting.report(
                _table(rows, names), _table(held_out, names) if held_out else None, audit=audit
            )

    files = reporting.write(_refusing(found), to)
    said = {"release": release.id, "files": [str(each) for each in files]}
    typer.echo(json.dumps(said) if as_json else " and ".join(said["files"]))


@app.command()
def budget(
    bodies: Annotated[Path, typer.Argument(help="Public records, one JSON a line, in log order.")],
    limit: Annotated[
        list[str], typer.Option("--limit", help="SCENE=P/Q: rho that a period may spend.")
    ],
) -> None:
    """Recompute what every scene has spent. Exit status 1: the records break a rule."""
    from synthetic.fitting import release as releases
    from synthetic.privacy import budget_ledger
    from synthetic.privacy.budget import PrivacyLoss, exact, parse_exact

    records = [json.loads(line) for line in bodies.read_text(encoding="utf-8").splitlines()]
    pairs = [each.partition("=") for each in limit]
    limits = {scene: PrivacyLoss(parse_exact(rho)) for scene, _, rho in pairs}
    found = budget_ledger.verify(records, limits)
    for (scene, period), account in sorted(found.accounts.items()):
        spent, left = exact(account.spent.rho), exact(account.left.rho)
        typer.echo(f"{scene} {period}: spent rho {spent}, left {left}")
    for each in found.findings:
        typer.echo(each, err=True)
    for body in records:
        if body["format"] == budget_ledger.RELEASE:
            releases.verify(releases.Release.from_body(body))
    raise typer.Exit(1 if found.findings else 0)


@app.command()
def provenance() -> None:
    """Print what a release of this installation says it was made by, and the lines behind it."""
    from synthetic.fitting import provenance as made

    typer.echo(f"code {made.code()}")
    for line in sorted(made.files(made.PACKAGE)):
        typer.echo(f"  {line}")
    typer.echo(f"lock {made.lock()}")
    for line in sorted(made.versions(made.DISTRIBUTION)):
        typer.echo(f"  {line}")


def _refusing(act: Callable[[], Made]) -> Made:
    """What was made; or why not, and exit status 1."""
    from gate.contracts.scene import ContractError
    from portal.commands.synthesis.fitting import InterruptedFitError
    from synthetic.fitting.checkpoint import PartialError
    from synthetic.model.domain import DomainError
    from synthetic.privacy.budget import BudgetExceededError, LossError
    from synthetic.privacy.budget_ledger import MalformedRecordError

    try:
        return act()
    except InterruptedFitError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(130) from None
    except (
        BudgetExceededError,
        ContractError,
        DomainError,
        LossError,
        MalformedRecordError,
        OSError,
        PartialError,
    ) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


def _summary(release: "Release", to: Path) -> dict[str, Any]:
    said = release.statement.body()
    figures = {"rows": release.rows, "measurements": len(release.measurements)}
    return {"release": release.id, "file": str(to), **figures, "statement": said}


def _contract(scene: Path, source: Path) -> "Contract":
    from gate.contracts.scene import load_scene, load_source

    return load_scene(scene, load_source(source))


def _release(path: Path) -> "Release":
    from synthetic.fitting.release import MalformedReleaseError, Release

    try:
        return Release.from_body(json.loads(path.read_text(encoding="utf-8")))
    except (MalformedReleaseError, OSError, ValueError) as error:
        typer.echo(f"{path} is no public record of a release ({error}): name one", err=True)
        raise typer.Exit(1) from None


def _table(rows: Path, columns: list[str]) -> Any:
    """As text where a CSV is read: domains say what values mean, not a guess at types."""
    import ibis

    from synthetic.model.domain import DomainError

    connection = ibis.duckdb.connect()
    if not rows.exists():
        raise DomainError(f"{rows} is not there: name a Parquet or CSV file")
    parquet = rows.suffix == ".parquet"
    found = (
        connection.read_parquet(rows) if parquet else connection.read_csv(rows, all_varchar=True)
    )
    if missing := [name for name in columns if name not in found.columns]:
        raise DomainError(f"{rows} has no columns {missing}, found {list(found.columns)}: add them")
    return found.select(*columns)


def _progress(what: str) -> Any:
    from rich.console import Console

    return Console(stderr=True).status(what)
