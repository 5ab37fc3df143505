"""`sovereign import-consents`: import consents recorded elsewhere, as instructions of class D."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ledger import clock
from portal.commands.errors import fail, require_file, require_ledger
from portal.commands.log.vault import progress

if TYPE_CHECKING:
    from portal.imports.row import Bad, ImportRow

app = typer.Typer()

DataDir = Annotated[
    Path, typer.Option("--data-dir", help="Folder with the ledger, the keys and the data.")
]
HERE = Path("data")


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
        bool, typer.Option("--skip-bad", help="Skip bad rows, and list them.")
    ] = False,
    data_dir: DataDir = HERE,
) -> None:
    """Record earlier consents as instructions of class D: all or none, and once for each file.

    A customer's own instructions are never overwritten. Exit
    status 1: nothing was recorded, and each bad row is listed. 2: no such file, or no ledger in the
    folder.
    """
    from portal.imports import record
    from portal.imports.record import RefusedFileError
    from portal.imports.row import Bad, MappingError
    from portal.operations import open_ledger

    require_ledger(data_dir)
    data = require_file(file, "a file of consents").read_bytes()
    if mapping is not None:
        require_file(mapping, "a mapping (TOML)")
    try:
        parsed = _read(data, form, mapping)
        skipped = [each for each in parsed if isinstance(each, Bad)] if skip_bad else []
        rows = record.require_good([each for each in parsed if each not in skipped])
        with open_ledger.writing(data_dir) as ledger, progress("rows") as show:
            taken = record.take(ledger, rows, data, source, progress=show)
    except (MappingError, RefusedFileError) as error:
        fail(str(error), 1)
    for each in (*skipped, *taken.left):
        typer.echo(f"skipped: {each}")
    if taken.again:
        typer.echo("this file was imported before; nothing was recorded")
    else:
        typer.echo(f"{taken.recorded} instructions of class D recorded")


def _read(data: bytes, form: Format, names: Path | None) -> "list[ImportRow | Bad]":
    from portal.imports import csv_file, kantara, row
    from portal.operations.wiring import contracts

    read = csv_file.rows if form is Format.CSV else kantara.rows
    return [*read(data, row.mapping(names), contracts()[1], clock.now())]
