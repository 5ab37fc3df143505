"""`sovereign synth`: fit, sample and evaluate synthetic releases; recompute their budget."""

import gzip
import json
import zlib
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from ledger import clock
from portal.commands.errors import MistakeError, fail, require_file

if TYPE_CHECKING:
    from gate.contracts.scene import Scene as Contract
    from portal.operations.budget_records import Records
    from synthetic.fitting.release import Release

Made = TypeVar("Made")
KEY = "id"  # the column of the source with the customer's id
NUL, GZIP = "\0", b"\x1f\x8b"

app = typer.Typer(help="Synthetic releases: fit, sample, report, budget.", no_args_is_help=True)

Body = Annotated[Path, typer.Argument(help="A release's public record, as JSON.")]
Rows = Annotated[Path, typer.Option("--rows", help="The customers' rows, as Parquet or CSV.")]
Scene = Annotated[Path, typer.Option("--scene", help="A scene contract (ODCS YAML).")]
Source = Annotated[Path, typer.Option("--source", help="The scene's source contract (ODCS YAML).")]
Customer = Annotated[
    str | None,
    typer.Option("--customer", help="Column with the customer of each row. Default: id, if any."),
]
Contribution = Annotated[
    int, typer.Option("--contribution", help="Maximum number of rows counted per customer.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")]


@app.command()
def fit(  # noqa: PLR0913, PLR0917 - one option each
    rows: Rows,
    scene: Scene,
    source: Source,
    to: Annotated[Path, typer.Option("--to", help="File to write the public record to.")],
    epsilon: Annotated[float, typer.Option(help="Privacy loss, together with --delta.")] = 1.0,
    delta: Annotated[float, typer.Option(help="Well below 1 / number of customers.")] = 1e-6,
    like: Annotated[
        Path | None, typer.Option("--like", help="Measure the marginals of this earlier release.")
    ] = None,
    customer: Customer = None,
    contribution: Contribution = 1,
    records: Annotated[
        Path | None,
        typer.Option("--records", help="Budget ledger. Default: --to with suffix .records.jsonl."),
    ] = None,
    limit: Annotated[str, typer.Option(help="P/Q: rho that a scene may spend in a year.")] = "1/8",
    resume: Annotated[bool, typer.Option("--resume", help="Continue an interrupted fit.")] = False,
    as_json: AsJson = False,
) -> None:
    """Fit a release on ROWS, which must contain consenting customers only.

    The debit is recorded before anything is measured, and each stage is written next to --to until
    the release is recorded. After an interruption (Ctrl-C) or a kill, the same command with
    --resume continues and spends nothing twice. Exit status 1: refused, and why. 2: a file does not
    exist or cannot be read. 130: interrupted.
    """
    from portal.commands.synthesis.fitting import Fitting

    require_file(rows, "a Parquet or CSV file")

    def fitted() -> "Release":
        contract, earlier = _contract(scene, source), _release(like) if like else None
        loss = _fraction("--epsilon", epsilon), _fraction("--delta", delta)
        table, whose = _rows(rows, customer, contract.domain.columns)
        budget_ledger = _budget_ledger(records or to.with_suffix(".records.jsonl"), limit)
        fit = Fitting(contract, budget_ledger, to, loss, (contribution, whose), earlier)
        return (fit.resume if resume else fit.begin)(table, clock.now())

    release = _refusing(fitted)
    line = f"{release.id}: about {release.rows} rows\n{release.statement}"
    typer.echo(json.dumps(_summary(release, to)) if as_json else line)


@app.command()
def sample(
    body: Body,
    to: Annotated[Path, typer.Option("--to", help="The Parquet file to write.")],
    rows: Annotated[int, typer.Option(min=0, help="How many rows to draw.")] = 1000,
    as_json: AsJson = False,
) -> None:
    """Draw synthetic rows. This is post-processing and costs no privacy budget."""
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
    to: Annotated[
        Path, typer.Option("--to", help="HTML file to write; the JSON gets suffix .json.")
    ],
    held_out: Annotated[
        Path | None,
        typer.Option("--held-out", help="Real rows outside the fit, to test models on."),
    ] = None,
    target: Annotated[
        list[str] | None,
        typer.Option("--target", help="Column that models predict; see `predicts` in contracts."),
    ] = None,
    customer: Customer = None,
    audit: Annotated[
        bool,
        typer.Option("--audit", help="Audit the noise on neighbouring tables, for a minute."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Compare a release with the rows it was fitted on. For the steward only: not private."""
    from portal.commands.synthesis.reporting import Reporting

    release = _release(body)
    require_file(rows, "a Parquet or CSV file")
    if held_out:
        require_file(held_out, "a Parquet or CSV file")

    def evaluated() -> list[str]:
        tables = [(each, _opened(each)) for each in (rows, held_out) if each]
        whose = _customer(tables[0][1], customer)
        chosen = [_columns(each, read, release.domain.columns, whose) for each, read in tables]
        reporting = Reporting(release, [*(target or ())], whose)
        with _progress("Comparing"):
            made = reporting.report(chosen[0], chosen[1] if held_out else None, audit=audit)
        return [str(each) for each in reporting.write(made, to)]

    files = _refusing(evaluated)
    summary = {"release": release.id, "files": files}
    typer.echo(json.dumps(summary) if as_json else " and ".join(files))


@app.command()
def budget(
    bodies: Annotated[Path, typer.Argument(help="Public records, one JSON a line, in log order.")],
    limit: Annotated[
        list[str], typer.Option("--limit", help="SCENE=P/Q: rho that a period may spend.")
    ],
) -> None:
    """Recompute what every scene has spent.

    Exit status 1: the records break a rule. 2: the file cannot be read, or a limit is malformed.
    """
    from synthetic.fitting import release as releases
    from synthetic.fitting.release import MalformedReleaseError
    from synthetic.privacy import budget_ledger
    from synthetic.privacy.budget import LossError, PrivacyLoss, exact, parse_exact
    from synthetic.privacy.budget_ledger import MalformedRecordError

    records = _records(bodies)
    pairs = [each.partition("=") for each in limit]
    try:
        limits = {scene: PrivacyLoss(parse_exact(rho)) for scene, _, rho in pairs}
        spending = budget_ledger.verify(records, limits)
    except (LossError, MalformedRecordError, ValueError) as error:
        fail(f"{bodies} with --limit {', '.join(limit)}: {error}")
    for (scene, period), account in sorted(spending.accounts.items()):
        spent, left = exact(account.spent.rho), exact(account.left.rho)
        typer.echo(f"{scene} {period}: spent rho {spent}, left {left}")
    findings = [*spending.findings]
    for body in records:
        if body["format"] == budget_ledger.RELEASE:
            try:
                releases.verify(releases.Release.from_body(body))
            except MalformedReleaseError as error:
                findings.append(str(error))
    for each in findings:
        typer.echo(each, err=True)
    raise typer.Exit(1 if findings else 0)


@app.command()
def provenance() -> None:
    """Print the digests of code and lock file that releases of this installation state."""
    from synthetic.fitting import provenance as made

    typer.echo(f"code {made.code()}")
    for line in sorted(made.files(made.PACKAGE)):
        typer.echo(f"  {line}")
    typer.echo(f"lock {made.lock()}")
    for line in sorted(made.versions(made.DISTRIBUTION)):
        typer.echo(f"  {line}")


def _refusing(act: Callable[[], Made]) -> Made:
    """The result of `act`. A refusal is printed and ends the command with status 1."""
    from gate.contracts.odcs import ContractError
    from portal.commands.synthesis.fitting import InterruptedFitError
    from synthetic.fitting.checkpoint import PartialError
    from synthetic.model.domain import DomainError
    from synthetic.privacy.budget import BudgetExceededError, LossError
    from synthetic.privacy.budget_ledger import MalformedRecordError

    try:
        return act()
    except InterruptedFitError as error:
        fail(str(error), 130)
    except (
        BudgetExceededError,
        ContractError,
        DomainError,
        LossError,
        MalformedRecordError,
        PartialError,
    ) as error:
        fail(str(error), 1)


def _summary(release: "Release", to: Path) -> dict[str, Any]:
    figures = {"rows": release.rows, "measurements": len(release.measurements)}
    statement = release.statement.body()
    return {"release": release.id, "file": str(to), **figures, "statement": statement}


def _contract(scene: Path, source: Path) -> "Contract":
    from gate.contracts.scene_file import load_scene
    from gate.contracts.source import load_source

    require_file(scene, "a scene contract (YAML)")
    return load_scene(scene, load_source(require_file(source, "a source contract (YAML)")))


def _records(path: Path) -> list[dict[str, Any]]:
    require_file(path, "a file of public records")
    try:
        records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except ValueError as error:
        fail(f"want one JSON object a line in {path}, found {error}")
    if wrong := [n for n, each in enumerate(records, 1) if not _is_record(each)]:
        fail(f"want a public record in line {wrong[0]} of {path}, found no `format`")
    return records


def _is_record(body: object) -> bool:
    return isinstance(body, dict) and isinstance(body.get("format"), str)


def _release(path: Path) -> "Release":
    from synthetic.fitting.release import MalformedReleaseError, Release

    require_file(path, "a release's public record")
    try:
        return Release.from_body(json.loads(path.read_text(encoding="utf-8")))
    except (MalformedReleaseError, ValueError) as error:
        fail(f"{path} is not the public record of a release ({error}): give one")


def _opened(rows: Path) -> Any:
    """The rows as an Ibis table. A CSV is read as text: the domain says what values mean.

    Raises MistakeError. Its message never quotes a value.
    """
    import duckdb
    import ibis

    from gate.reads.sources.interface import without_values

    connection, parquet = ibis.duckdb.connect(), rows.suffix == ".parquet"
    if not parquet:
        _require_utf8(rows)
    try:
        return (
            connection.read_parquet(rows)
            if parquet
            else connection.read_csv(rows, all_varchar=True)
        )
    except duckdb.Error as error:
        kind = "Parquet" if parquet else "CSV"
        raise MistakeError(f"{rows} cannot be read as {kind}: {without_values(error)}") from error


def _rows(rows: Path, customer: str | None, domain: Iterable[str]) -> tuple[Any, str | None]:
    """The rows, as an Ibis table of the columns that a fit reads, and the customer's column.

    Raises MistakeError, DomainError.
    """
    table = _opened(rows)
    whose = _customer(table, customer)
    return _columns(rows, table, domain, whose), whose


def _budget_ledger(path: Path, limit: str) -> "Records":
    """The budget ledger in a file. `limit`: rho a year, as P/Q. Raises LossError."""
    from portal.operations.budget_records import Records
    from synthetic.privacy.budget import PrivacyLoss, parse_exact

    return Records(path, PrivacyLoss(parse_exact(limit)))


def _columns(rows: Path, table: Any, domain: Iterable[str], customer: str | None) -> Any:
    """The columns of the domain and the customer's. Raises DomainError if one is missing."""
    from synthetic.model.domain import DomainError

    names = [*domain, *([customer] if customer else [])]
    if missing := [name for name in names if name not in table.columns]:
        raise DomainError(f"{rows} has no columns {missing}, found {list(table.columns)}: add them")
    return table.select(*names)


def _customer(table: Any, named: str | None) -> str | None:
    """The column with the customer of a row: the one that is named, else `id` if there is one."""
    if named is None and KEY not in table.columns:
        note = f"no column {KEY!r} and no --customer: each row counts as a customer of its own"
        typer.echo(note, err=True)
        return None
    return named or KEY


def _require_utf8(path: Path) -> None:
    """Raises MistakeError with the line of the first byte that is not UTF-8 text."""
    with path.open("rb") as file:
        packed = file.read(len(GZIP)) == GZIP
    with gzip.open(path, "rb") if packed else path.open("rb") as file:
        for number, line in enumerate(_lines(path, file), 1):
            try:
                text = line.decode("utf-8")
            except UnicodeDecodeError:
                text = NUL
            if NUL in text:
                raise MistakeError(
                    f"{path}, line {number}: want UTF-8, found another encoding (such as Latin-1, "
                    "GBK or UTF-16): save the file as UTF-8"
                )


def _lines(path: Path, file: Iterable[bytes]) -> Iterator[bytes]:
    """The lines of a file, packed or not. Raises MistakeError if it cannot be unpacked."""
    try:
        yield from file
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise MistakeError(f"{path} is a broken gzip file: pack it again") from error


def _fraction(option: str, number: float) -> Fraction:
    """A finite number above 0, exact. Raises LossError."""
    from synthetic.privacy.budget import LossError

    if not isfinite(number) or number <= 0:
        raise LossError(f"{option} is {number}, want a finite number above 0")
    return Fraction(str(number))


def _progress(what: str) -> Any:
    from rich.console import Console

    return Console(stderr=True).status(what)
