"""`sovereign fsck`, `export`, `keygen`: the ledger's own upkeep."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from ledger import clock

app = typer.Typer()

DataDir = Annotated[Path, typer.Option("--data-dir", help="Where ledger, keys and data live.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON value instead of lines.")]
HERE = Path("data")


@app.command()
def fsck(data_dir: DataDir = HERE, as_json: AsJson = False) -> None:
    """Check that database, tiles, checkpoint, vault and published directory agree.

    Exit status 0: they do. 1: findings, each with its place. Stop what writes the ledger first.
    """
    from ledger.fsck import fsck as run

    with _progress("entries") as progress:
        found = [*run(data_dir, progress)]
    if as_json:
        typer.echo(json.dumps([asdict(each) for each in found], indent=1))
    else:
        typer.echo("\n".join(map(str, found)) or "clean")
    raise typer.Exit(1 if found else 0)


@app.command()
def export(
    folder: Annotated[Path, typer.Argument(help="The public tile directory to write.")],
    data_dir: DataDir = HERE,
    states: Annotated[
        Path | None, typer.Option(help="Another directory, for the log of latest states.")
    ] = None,
) -> None:
    """Publish the consent log as a C2SP tile directory; again later, only what is new.

    Exit status 1: its witnesses did not agree, and what was published before stands.
    """
    from ledger.service import Ledger
    from ledger.witness.client import QuorumError, RolledBackError

    ledger = Ledger.reopen(data_dir)
    try:
        if states is not None:  # first, so that it never runs ahead of the consent log
            ledger.states.export(states)
        ledger.export(folder)
        typer.echo((folder / "checkpoint").read_text("utf-8"))
    except (QuorumError, RolledBackError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    finally:
        ledger.close()


@app.command("rotate-key")
def rotate_key(data_dir: DataDir = HERE) -> None:
    """Put new signing keys in force. The log says so in an entry that old and new keys sign.

    Give the new policy to whoever verifies.
    """
    from portal.operations import open_ledger

    with open_ledger.writing(data_dir) as ledger:
        ledger.rotate(data_dir, clock.now())
    typer.echo((data_dir / "consent.policy").read_text("utf-8"))


@app.command()
def keygen(
    name: Annotated[str, typer.Argument(help="The log's origin or the witness's name.")],
    folder: Annotated[Path, typer.Argument(help="Where the key files go.")],
    witness: Annotated[bool, typer.Option("--witness", help="A witness's key.")] = False,
) -> None:
    """Make a key pair: NAME.key for the owner alone, NAME.vkey for everybody else."""
    from ledger.tlog import atomic_file, cosignature, signed_note

    if witness:
        made = cosignature.generate(name)
        secret, public = made.secret(), str(made.key)
    else:
        signer = signed_note.generate(name)
        secret, public = signer.secret(), str(signer.verifier)
    stem = name.replace("/", "-")
    path = folder / f"{stem}.key"
    if path.exists():
        typer.echo(f"{path} exists already; move it away first", err=True)
        raise typer.Exit(2)
    atomic_file.write(path, f"{secret}\n".encode(), atomic_file.OWNER_ONLY)
    atomic_file.write(folder / f"{stem}.vkey", f"{public}\n".encode())
    typer.echo(public)


@contextmanager
def _progress(what: str) -> Iterator[Callable[[int, int], None]]:
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, of: bar.update(task, completed=done, total=of)
