"""`sovereign vault rotate-kek`: another key-encryption key for every customer's data key."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="The customers' keys.", no_args_is_help=True)

DataDir = Annotated[Path, typer.Option("--data-dir", help="Where ledger, keys and data live.")]
HERE = Path("data")


@app.callback()
def _vault() -> None:
    """Keep the command's name though it is the only one."""


@app.command("rotate-kek")
def rotate_kek(
    to: Annotated[
        str, typer.Option(help="file, pkcs11:… or aws-kms:…; empty: who keeps it now.")
    ] = "",
    data_dir: DataDir = HERE,
) -> None:
    """Wrap every customer's key with a new key, and destroy the old one.

    Whatever has the vault open goes on. Interrupted or killed, run it again. Exit status 1: the old
    key is in force, and the message says why.
    """
    from ledger.vault import key_encryption_key
    from ledger.vault.key_encryption_key import KekError
    from ledger.vault.vault import Vault, VaultError

    if not (data_dir / "keys" / "customers.db").exists():
        typer.echo(f"no customers' keys under {data_dir}: want --data-dir of a ledger", err=True)
        raise typer.Exit(1)
    try:
        with closing(Vault(data_dir / "keys")) as vault, progress("keys wrapped anew") as told:
            vault.rotate(key_encryption_key.next_generation(to or vault.kek_provider), told)
            typer.echo(
                f"every customer's key is wrapped with a new key, kept by {vault.kek_provider}"
            )
    except (KekError, VaultError) as error:
        typer.echo(f"{error}\nThe old key is in force.", err=True)
        raise typer.Exit(1) from None


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error for what takes longer than a moment."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, of: bar.update(task, completed=done, total=of)
