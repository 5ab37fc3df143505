"""`sovereign export-consent`: the state of consent for the company's warehouse."""

from enum import StrEnum
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ledger import clock
from portal.commands.errors import MistakeError, require_ledger, require_place
from portal.commands.options import HERE, DataDir

if TYPE_CHECKING:
    import pyarrow as pa

    from steward.agreements.consent_table import ConsentTableRow

app = typer.Typer()

KIND = "consent-exported"  # of register entries


class ExportFormat(StrEnum):
    """How the table is written. VIEW: into the database of the data directory."""

    PARQUET = "parquet"
    ARROW = "arrow"
    CSV = "csv"
    VIEW = "view"


@app.command("export-consent")
def export_consent(
    by: Annotated[str, typer.Option(help="Who exports it, for the register.")],
    reason: Annotated[str, typer.Option(help="What for, for the register.")],
    file: Annotated[Path | None, typer.Argument(help="The file to write.")] = None,
    form: Annotated[
        ExportFormat, typer.Option("--format", help="View: no file, but the view for a warehouse.")
    ] = ExportFormat.PARQUET,
    data_dir: DataDir = HERE,
) -> None:
    """Write scene, status, since, version and pseudonym of every decision that holds.

    It names nobody: the pseudonym is made with the customer's own key, which ends with an erasure.
    Whoever owns the data directory may run it, also while it is served; each run is in the register
    before anything is written. With `--format view` the rows of the view `warehouse.consent` are
    replaced, for a warehouse that reads PostgreSQL. Exit status 2: no ledger in the folder, or no
    such place.
    """
    from ledger.follower import Follower
    from portal.operations import company_folder
    from portal.storage import warehouse
    from steward.agreements import consent_table
    from steward.oversight.register import Register

    if (file is None) is not (form is ExportFormat.VIEW):
        raise MistakeError("want a FILE, or --format view and none")
    if not by.strip() or not reason.strip():
        raise MistakeError("want who (--by) and what for (--reason)")
    company, at = company_folder.of(require_ledger(data_dir)), clock.now()
    if file is not None:
        require_place(file)
    follower = Follower(data_dir)
    rows = consent_table.make(follower, company.scenes, company.origin, at)
    stated = {"by": by.strip(), "reason": reason.strip(), "format": form.value, "rows": len(rows)}
    with Register(data_dir, follower).writing() as writing:
        writing.append(KIND, None, stated, None, at)
    # If we crash here, the register names an export that nobody has: never the other way round.
    if file is None:
        warehouse.replace(
            data_dir, [(e.scene, e.status, e.since, e.version, e.pseudonym) for e in rows]
        )
    else:
        _write(file, form, rows)
    typer.echo(f"{file or 'warehouse.consent'}: {len(rows)} rows")


def _write(file: Path, form: ExportFormat, rows: "list[ConsentTableRow]") -> None:
    from ledger.tlog import atomic_file

    atomic_file.write(file, _encoded(_table(rows), form), atomic_file.OWNER_ONLY)


def _table(rows: "list[ConsentTableRow]") -> "pa.Table":
    import pyarrow as pa

    text = pa.dictionary(pa.int32(), pa.string())
    schema = pa.schema(
        [
            ("scene", text),
            ("status", text),
            ("since", pa.timestamp("s", "UTC")),
            ("version", text),
            ("pseudonym", pa.string()),
        ]
    )
    columns = {
        "scene": [each.scene for each in rows],
        "status": [each.status.value for each in rows],
        "since": [each.since.replace(microsecond=0) for each in rows],
        "version": [each.version for each in rows],
        "pseudonym": [each.pseudonym for each in rows],
    }
    return pa.table(columns, schema=schema)


def _encoded(table: "pa.Table", form: ExportFormat) -> bytes:
    import pyarrow as pa
    from pyarrow import csv, parquet

    out = BytesIO()
    match form:
        case ExportFormat.PARQUET:
            parquet.write_table(table, out)
        case ExportFormat.ARROW:
            with pa.ipc.new_file(out, table.schema) as writer:
                writer.write_table(table)
        case ExportFormat.CSV:
            csv.write_csv(table.cast(_plain(table.schema)), out)
        case ExportFormat.VIEW:
            raise AssertionError("the view is no file")
    return out.getvalue()


def _plain(schema: "pa.Schema") -> "pa.Schema":
    """The schema without dictionaries, and with times as ISO 8601 texts: CSV has neither."""
    import pyarrow as pa

    kinds = {each.name: pa.string() for each in schema} | {"since": pa.timestamp("s", "UTC")}
    return pa.schema([(name, kind) for name, kind in kinds.items()])
