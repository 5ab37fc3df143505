"""`sovereign import-consents`: import consents recorded elsewhere, as instructions of class D."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ledger import clock
from portal.commands.errors import MistakeError, fail, require_file, require_ledger
from portal.commands.log.vault import progress
from portal.commands.options import HERE, DataDir

if TYPE_CHECKING:
    from portal.imports.row import Bad, ImportRow

app = typer.Typer()


class Format(StrEnum):
    CSV = "csv"
    KANTARA = "kantara"


@app.command("import-consents")
def import_consents(
    file: Annotated[Path, typer.Argument(help="A CSV file, or consent receipts in JSON.")],
    source: Annotated[str, typer.Option(help="Where FILE comes from; recorded with each.")],
    form: Annotated[Format, typer.Option("--format", help="Format of FILE.")] = Format.CSV,
    mapping: Annotated[
        Path | None, typer.Option(help="TOML file that maps the names in FILE to ours.")
    ] = None,
    skip_bad: Annotated[
        bool,
        typer.Option("--skip-bad", help="Skip bad rows, and their customers' grants; list them."),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Read and check everything, and record nothing.")
    ] = False,
    data_dir: DataDir = HERE,
) -> None:
    """Record earlier consents as instructions of class D: all or none, and once for each file.

    Each customer must be in the source. A customer's own instructions are never overwritten, and
    what was given before a customer was erased here is not recorded. Exit status 1: nothing was
    recorded, and each bad row is listed. 2: no such file, no ledger in the folder, or no source.
    """
    from portal.imports.mapping import MappingError
    from portal.imports.record import RefusedFileError

    require_ledger(data_dir)
    data = require_file(file, "a file of consents").read_bytes()
    if mapping is not None:
        require_file(mapping, "a mapping (TOML)")
    if not source.strip() or not source.isprintable():
        raise MistakeError("want the name of a source in --source, found none: name it")
    try:
        parsed = _checked(data, form, mapping, data_dir, skip_bad=skip_bad)
        if dry_run:
            _try(data_dir, file.name, parsed, skip_bad=skip_bad)
        else:
            _record(data_dir, file.name, parsed, data, source, skip_bad=skip_bad)
    except MappingError as error:
        fail(f"{file.name}: {error}", 1)
    except RefusedFileError as error:
        fail(str(error), 1)


def _checked(
    data: bytes, form: Format, names: Path | None, home: Path, *, skip_bad: bool
) -> "list[ImportRow | Bad]":
    """The rows of the file, checked by themselves, against each other and against the source."""
    from portal.imports import conflicts, csv_file, kantara, mapping, subjects
    from portal.operations import company_folder
    from portal.operations.wiring import open_source

    settings, company = company_folder.at(home)
    scenes = company.scenes
    read = csv_file.rows if form is Format.CSV else kantara.rows
    parsed = [*read(data, mapping.read(names, scenes), scenes, clock.now())]
    if not parsed:
        raise mapping.MappingError("want at least one row, found only the header: export it again")
    checked = conflicts.check(subjects.check(parsed, open_source(settings, company.source)))
    return conflicts.without_doubtful(checked) if skip_bad else checked


def _try(home: Path, name: str, parsed: "list[ImportRow | Bad]", *, skip_bad: bool) -> None:
    """Print what would be recorded. Ends with status 1 if there are bad rows."""
    from ledger.service import Ledger
    from portal.imports import record, summary
    from portal.imports.row import Bad, ImportRow

    ledger = Ledger.reopen(home)
    try:
        rows = [each for each in parsed if isinstance(each, ImportRow)]
        plan = record.plan(ledger, rows, name)
    finally:
        ledger.close()
    bad = plan.unclear or any(isinstance(each, Bad) for each in parsed)
    for line in summary.lines(name, parsed, plan, refused=bool(bad) and not skip_bad):
        typer.echo(line)
    if bad:
        raise typer.Exit(1)


def _record(
    home: Path,
    name: str,
    parsed: "list[ImportRow | Bad]",
    data: bytes,
    source: str,
    *,
    skip_bad: bool,
) -> None:
    from hashlib import sha256

    from portal.imports import record
    from portal.imports.row import Bad
    from portal.operations import open_ledger

    skipped = [each for each in parsed if isinstance(each, Bad)] if skip_bad else []
    bad = {id(each) for each in skipped}
    rows = record.require_good([each for each in parsed if id(each) not in bad], name)
    with open_ledger.writing(home) as ledger, progress("rows") as show:
        plan = record.plan(ledger, rows, f"{source} {sha256(data).hexdigest()}", progress=show)
        if not skip_bad:
            record.require_clear(plan, name)
        taken = record.take(ledger, plan)
    for each in (*skipped, *plan.unclear, *plan.left, *plan.erased):
        typer.echo(f"skipped: {each}")
    if plan.erased:
        typer.echo(
            f"{len(plan.erased)} rows are older than an erasure of their customer and were "
            "passed over"
        )
    if taken.again:
        typer.echo("its rows were imported before; nothing was recorded")
    else:
        typer.echo(f"{taken.recorded} instructions of class D recorded")
