"""`sovereign own-reads`, `named-files`: find a customer's entries in the public read logs."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from portal.commands.errors import fail, require_ledger
from portal.commands.options import HERE, DataDir

if TYPE_CHECKING:
    from gate.storage.read_log import ReadLogDatabase

app = typer.Typer()


@app.command("own-reads")
def own_reads() -> None:
    """Find every entry of read logs about one customer: sovereign own-reads KEYS LOG… --help."""
    raise AssertionError("portal.cli calls ledger.verify.own_reads before it imports this")


@app.command("named-files")
def named_files(
    to: Annotated[Path, typer.Argument(help="The folder to write them to.")],
    data_dir: DataDir = HERE,
    sets: Annotated[
        bool, typer.Option("--sets", help="Also the sets of customers: for auditors only.")
    ] = False,
) -> None:
    """Write the lists that read-log entries name by SHA-256, each under its digest.

    `sovereign own-reads --named FOLDER` reads them. A list has what entries about one customer
    have: tags, which differ in every place. A set says of every customer's number whether the
    answer had them: give sets only to auditors, who test one number for its customer.
    Exit status 1: a file is missing. 2: no ledger in the folder.
    """
    from gate.readlog.customer_sets import MissingSetError
    from gate.storage.read_log import ReadLogDatabases
    from ledger.tlog import atomic_file

    logs, written = ReadLogDatabases(require_ledger(data_dir)), 0
    try:
        for log in logs.all():
            for digest, data in _named(log, sets=sets):
                atomic_file.write(to / digest, data, atomic_file.OWNER_ONLY)
                written += 1
    except (MissingSetError, FileNotFoundError) as error:
        fail(f"not all written: {error}", 1)
    finally:
        logs.close()
    typer.echo(f"{to}: {written} files")


def _named(log: "ReadLogDatabase", *, sets: bool) -> Iterator[tuple[str, bytes]]:
    """Digest and bytes of the lists of a read log, and of its sets of those who were answered."""
    from gate.readlog import batch_entry
    from gate.readlog.customer_sets import CustomerSets
    from gate.storage.read_log import EVER

    with log.reader() as stored:
        lists = stored.listings()
        yield from (
            (name, data) for name, data in lists if not data.startswith(batch_entry.POLICY_LIST)
        )
        if sets:
            stored_sets = CustomerSets(log.folder)
            for digest in {named for _, named in stored.answered(EVER)}:
                yield digest, stored_sets.get(digest)
