"""`sovereign import-consents`: consents that were recorded elsewhere, as class D."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ledger import clock
from portal.commands.log.vault import progress

if TYPE_CHECKING:
    from portal.imports.row import Bad, ImportRow

app = typer.Typer()

DataDir = Annotated[Path, typer.Option("--data-dir", help="Where ledger, keys and data live.")]
HERE = Path("data")


class Format(StrEnum):
    CSV = "csv"
    KANTARA = "kantara"


@app.command("import-consents")
def import_consents(
    file: Annotated[Path, typer.Argument(help="A CSV file, or consent receipts in JSON.")],
    source: Annotated[str, typer.Option(help="Where it comes from: stands in every instruction.")],
    form: Annotated[Format, typer.Option("--format", help="Of the file.")] = Format.CSV,
    mapping: Annotated[
        Path | None, typer.Option(help="What its names mean here: a TOML file.")
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Pass bad rows over, and list them.")
    ] = False,
    data_dir: DataDir = HERE,
) -> None:
    """Record consents of before as instructions of class D, all or none, once for each file.

    What a customer said here themselves is never overwritten.
    Exit status 1: nothing was recorded, and each bad row is named.
    """
    from portal.imports import record
    from portal.imports.record import RefusedFileError
    from portal.imports.row import Bad, MappingError
    from portal.operations import open_ledger

    try:
        data = file.read_bytes()
        found = _read(data, form, mapping)
        passed = [each for each in found if isinstance(each, Bad)] if skip_bad else []
        rows = record.require_good([each for each in found if each not in passed])
        with open_ledger.writing(data_dir) as ledger, progress("rows") as told:
            taken = record.take(ledger, rows, data, source, progress=told)
    except (MappingError, RefusedFileError, OSError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    for each in (*passed, *taken.left):
        typer.echo(f"passed over: {each}")
    if taken.again:
        typer.echo("this file was taken before; nothing was recorded")
    else:
        typer.echo(f"{taken.recorded} instructions of class D recorded")


def _read(data: bytes, form: Format, names: Path | None) -> "list[ImportRow | Bad]":
    from portal.imports import csv_file, kantara, row
    from portal.operations.wiring import contracts

    read = csv_file.rows if form is Format.CSV else kantara.rows
    return [*read(data, row.mapping(names), contracts()[1], clock.now())]
