"""`sovereign export-customer` and `import-archive`: everything about one customer, to and fro."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ledger import clock
from portal.commands.log.vault import progress

if TYPE_CHECKING:
    from portal.archive.holding import CustomerRecords

app = typer.Typer()

DataDir = Annotated[Path, typer.Option("--data-dir", help="Where ledger, keys and data live.")]
HERE = Path("data")


@app.command("export-customer")
def export_customer(
    subject: Annotated[str, typer.Argument(help="The customer's number.")],
    out: Annotated[Path, typer.Argument(help="The ZIP to write.")],
    data_dir: DataDir = HERE,
) -> None:
    """Write everything about one customer: agreement, history, receipts, reads, data, messages.

    Exit status 1: there is nothing about this customer.
    """
    from ledger.tlog import atomic_file
    from portal.archive.content import NobodyError, archive

    with _holding(data_dir) as held, progress("receipts and reads") as told:
        try:
            data = archive(held, subject, clock.now(), told)
        except NobodyError as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(1) from None
    atomic_file.write(out, data, atomic_file.OWNER_ONLY)
    typer.echo(f"{out}: {len(data)} bytes")


@app.command("import-archive")
def import_archive(
    file: Annotated[Path, typer.Argument(help="The ZIP of another house.")],
    data_dir: DataDir = HERE,
    policy: Annotated[
        Path | None, typer.Option(help="The policy that its receipts must satisfy; else its own.")
    ] = None,
) -> None:
    """Take in a customer's archive: the agreement as class D, and the archive itself, sealed.

    Exit status 1: nothing was recorded, and why.
    """
    from ledger.tlog import policy as policies
    from ledger.tlog.policy import LogPolicyError
    from portal.archive import imported
    from portal.archive.pack import ArchiveError

    with _holding(data_dir) as held:
        try:
            trusted = policies.parse(policy.read_bytes()) if policy else None
            taken = imported.take(held, file.read_bytes(), trusted)
        except (ArchiveError, LogPolicyError) as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(1) from None
    typer.echo(f"archive {taken.digest}: {taken.recorded} instructions of class D recorded")
    for each in taken.left:
        typer.echo(f"left as it is: {each}")


@contextmanager
def _holding(home: Path) -> Iterator["CustomerRecords"]:
    from portal.archive.holding import CustomerRecords
    from portal.operations import open_ledger
    from portal.operations.settings import Settings
    from portal.operations.wiring import contracts, open_source

    settings = Settings(data_dir=home)
    known = settings.source or (home / "customers.duckdb").exists()
    source, scenes = contracts()
    with open_ledger.writing(home, _origin(home, settings.origin)) as ledger:
        yield CustomerRecords(
            home, ledger, source, scenes, open_source(settings) if known else None
        )


def _origin(home: Path, otherwise: str) -> str:
    """The name of the ledger that lies there; of a fresh one, what the settings say."""
    from ledger.tlog import signed_note

    key = home / "keys" / "consent.vkey"
    if not key.exists():
        return otherwise
    return signed_note.verifier(key.read_text("utf-8").partition("\n")[0]).name
