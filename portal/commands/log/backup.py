"""`sovereign backup` and `restore`: copy a data directory while it is served, and bring it back."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ledger import clock
from portal.commands.errors import fail, require_ledger
from portal.commands.options import HERE, DataDir

if TYPE_CHECKING:  # it takes long to import
    from portal.data_directory.restore import RestoreResult

app = typer.Typer()


@app.command()
def backup(
    folder: Annotated[Path, typer.Argument(help="New folder for the backup without private keys.")],
    data_dir: DataDir = HERE,
    keys_to: Annotated[
        Path | None, typer.Option("--keys-to", help="New folder for the keys, kept elsewhere.")
    ] = None,
    without_keys: Annotated[
        bool, typer.Option("--without-keys", help="Leave the keys out: they are backed up apart.")
    ] = False,
) -> None:
    """Back up a data directory, also while it is served. Keys never go into the same folder.

    Whoever has both parts can read everything; one of them opens nothing. Copy `erased` to a third
    place too. Exit status 1: nothing was backed up, and the message says why. 2: no ledger in the
    folder, or neither --keys-to nor --without-keys.
    """
    from portal.data_directory import backup as backups
    from portal.data_directory.backup_manifest import BackupError

    if (keys_to is None) != without_keys:
        fail("want --keys-to FOLDER or --without-keys: keys are never in one folder with the log")
    try:
        made = backups.backup(require_ledger(data_dir), folder, keys_to, clock.now())
    except BackupError as error:
        fail(str(error), 1)
    typer.echo(f"{folder}: {len(made.files)} files, the log at entry {made.size}, root {made.root}")


@app.command()
def restore(
    folder: Annotated[Path, typer.Argument(help="Folder that `sovereign backup` wrote.")],
    data_dir: Annotated[
        Path, typer.Option("--data-dir", help="New or empty folder to restore to.")
    ],
    keys: Annotated[
        Path | None, typer.Option("--keys", help="Folder with the keys of the same ledger.")
    ] = None,
    published: Annotated[
        Path | None,
        typer.Option("--published", help="The published `log/` directory, to compare with."),
    ] = None,
    erased: Annotated[
        Path | None, typer.Option("--erased", help="The newest copy of the erasure list.")
    ] = None,
    database: Annotated[
        str, typer.Option(help="An empty database for all tables but the vault's: postgresql://…")
    ] = "",
    vault_database: Annotated[
        str, typer.Option(help="An empty database for the vault's tables: postgresql://…")
    ] = "",
) -> None:
    """Restore a backup to a new data directory, check it, and erase again whoever was erased.

    Tables go to SQLite files in the data directory, or to the databases that are named; the data
    directory remembers them.

    Exit status 1: nothing was restored: the backup is damaged, older than what was published, or
    not of these keys. 2: a folder or file cannot be used.
    """
    from portal.data_directory import restore as restores
    from portal.data_directory.backup_manifest import BackupError

    try:
        into = restores.Places(database, vault_database)
        done = restores.restore(
            folder, data_dir, keys, published_log=published, erased=erased, into=into
        )
    except BackupError as error:
        fail(str(error), 1)
    _print_restored(done, data_dir)
    if published is None:
        _print_uncompared(done.manifest.size)


def _print_uncompared(size: int) -> None:
    typer.echo(
        "it was not compared with what was published (--published): if the published log has "
        f"more than {size} entries, do not serve it. Erasures after entry {size} are only known "
        "from a newer erasure list (--erased)"
    )


def _print_restored(done: "RestoreResult", data_dir: Path) -> None:
    made = done.manifest
    typer.echo(f"{data_dir} stands at entry {made.size}, root {made.root}, of {made.made:%F %T}Z")
    if done.keys is None:
        typer.echo("without keys: it can be audited, not served; restore again with --keys")
    elif done.keys.backup != made.backup:
        typer.echo(
            f"the keys are of another backup, of {done.keys.made:%F %T}Z; consents of customers "
            "who came between the two cannot be read"
        )
    typer.echo(f"{done.erased_again} customers who were erased since then were erased again")
