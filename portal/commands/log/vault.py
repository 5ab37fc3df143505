"""`sovereign vault`: replace the key-encryption key, and rebuild the index of owners."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Annotated

import typer

from portal.commands.errors import fail, require_ledger
from portal.commands.options import HERE, DataDir

app = typer.Typer(help="The customers' data keys.", no_args_is_help=True)


@app.command("rotate-kek")
def rotate_kek(
    to: Annotated[
        str | None,
        typer.Option(help="New provider: file, pkcs11:… or aws-kms:…. Default: the present one."),
    ] = None,
    data_dir: DataDir = HERE,
) -> None:
    """Wrap every customer's data key with a new key, and destroy the old one.

    Processes that have the vault open continue. After an interruption, run it again. Exit status 1:
    the old key stays active, and the message says why. 2: no ledger in the folder.
    """
    from ledger.storage import database
    from ledger.storage.vault_store import VAULT
    from ledger.vault import key_encryption_key
    from ledger.vault.key_encryption_key import KekError
    from ledger.vault.vault import Vault, VaultError

    require_ledger(data_dir)
    if to is not None and not to.strip():
        fail("want file, pkcs11:… or aws-kms:… in --to, found an empty text: leave it out")
    if not database.of(data_dir).exists(VAULT):
        fail(f"no customers' keys under {data_dir}: restore keys/customers.db from a backup")
    try:
        with closing(Vault(data_dir / "keys")) as vault, progress("keys wrapped") as show:
            vault.rotate(key_encryption_key.next_generation(to or vault.kek_provider), show)
            typer.echo(
                f"every customer's key is wrapped with a new key, kept by {vault.kek_provider}"
            )
    except (KekError, VaultError) as error:
        fail(f"{error}\nThe old key stays active.", 1)


@app.command()
def reindex(data_dir: DataDir = HERE) -> None:
    """Rebuild the index of owners from the customers' keys and the log.

    Needed when `fsck` or a gate says that the index lacks entries. Refused if no key opens an entry
    that is not listed as erased: then the key store is older than the log. Restore its newest one.
    """
    from portal.operations import open_ledger

    require_ledger(data_dir)
    with open_ledger.mending(data_dir) as ledger:
        ledger.reindex()
    typer.echo("the index of owners is complete")


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show a progress bar on standard error; the value is called with (done, total)."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, of: bar.update(task, completed=done, total=of)
