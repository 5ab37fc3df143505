"""`sovereign export-customer` and `import-archive`: a customer's archive, out and in."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ledger import clock
from portal.commands.errors import fail, require_file, require_ledger, require_place
from portal.commands.log.vault import progress
from portal.commands.options import HERE, DataDir

if TYPE_CHECKING:
    from gate.contracts.company import Company
    from ledger.service import Ledger
    from ledger.tlog.policy import LogPolicy
    from portal.archive.holding import CustomerRecords
    from portal.operations.settings import Settings

app = typer.Typer()

INCOMPLETE = 3  # exit status


@app.command("export-customer")
def export_customer(
    subject: Annotated[str, typer.Argument(help="The customer's number.")],
    out: Annotated[Path, typer.Argument(help="The ZIP file to write.")],
    data_dir: DataDir = HERE,
) -> None:
    """Write everything about one customer: agreement, history, receipts, reads, data, messages.

    Exit status 1: no data about this customer. 2: no ledger in the folder. 3: all but the row,
    because the source cannot be read; the archive says so.
    """
    from ledger.tlog import atomic_file
    from portal.archive import pack
    from portal.archive.content import UNAVAILABLE, NobodyError, archive
    from portal.operations import company_folder, open_ledger

    settings, company = company_folder.at(require_ledger(data_dir))
    require_place(out)
    with (
        open_ledger.writing(data_dir) as ledger,
        progress("receipts and reads") as show,
    ):
        try:
            data = archive(_records(settings, ledger, company), subject, clock.now(), show)
        except NobodyError as error:
            fail(str(error), 1)
    atomic_file.write(out, data, atomic_file.OWNER_ONLY)
    typer.echo(f"{out}: {len(data)} bytes")
    if UNAVAILABLE in pack.unpacked(data).files:
        typer.echo(f"the customer's row is missing: the source cannot be read ({out})", err=True)
        raise typer.Exit(INCOMPLETE)


@app.command("import-archive")
def import_archive(
    file: Annotated[Path, typer.Argument(help="The ZIP file that another controller exported.")],
    data_dir: DataDir = HERE,
    policy: Annotated[
        Path | None,
        typer.Option(help="Policy that its receipts must satisfy. Default: the archive's own."),
    ] = None,
) -> None:
    """Import a customer's archive: the agreement as class D, and the archive itself, sealed.

    A folder without a ledger gets a new one. Exit status 1: the
    archive is refused, and nothing was recorded. 2: a file does not exist.
    """
    from ledger.tlog.policy import LogPolicyError
    from portal.archive import imported
    from portal.archive.pack import ArchiveError
    from portal.operations import company_folder, databases, open_ledger

    data = require_file(file, "a customer's archive").read_bytes()
    try:
        trusted = _policy(policy) if policy else None
        settings, company = company_folder.at(data_dir)
        placed = databases.settled(settings)  # a fresh ledger begins where the settings say
        with open_ledger.writing(data_dir, settings.origin, placed) as ledger:
            taken = imported.take(_records(settings, ledger, company), data, trusted)
    except (ArchiveError, LogPolicyError) as error:
        fail(str(error), 1)
    typer.echo(f"archive {taken.digest}: {taken.recorded} instructions of class D recorded")
    for each in taken.left:
        typer.echo(f"not recorded: {each}")


def _policy(path: Path) -> "LogPolicy":
    from ledger.tlog import policy

    return policy.parse(require_file(path, "a policy").read_bytes())


def _records(settings: "Settings", ledger: "Ledger", company: "Company") -> "CustomerRecords":
    """What archives are made from and recorded in."""
    from gate.reads.sources.interface import SourceUnavailableError
    from portal.archive.holding import CustomerRecords, SubjectRows, UnreachableRows
    from portal.configuration import languages
    from portal.operations.wiring import open_source

    home = settings.data_dir
    has_rows = settings.source or (home / "customers.duckdb").exists()
    try:
        rows: SubjectRows | None = open_source(settings, company.source) if has_rows else None
    except SourceUnavailableError as error:
        rows = UnreachableRows(str(error))
    spoken = languages.catalogues(company)
    return CustomerRecords(home, ledger, company.source, company.scenes, rows, spoken)
