"""`sovereign fsck`, `export`, `rotate-key`, `keygen`: maintenance of the ledger."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from ledger import clock
from portal.commands.errors import fail, require_ledger

app = typer.Typer()

DataDir = Annotated[
    Path, typer.Option("--data-dir", help="Folder with the ledger, the keys and the data.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON value instead of lines.")]
HERE = Path("data")
NOT_LOOKED = 3  # exit status: a file could not be checked, and nothing else was found


@app.command()
def fsck(data_dir: DataDir = HERE, as_json: AsJson = False) -> None:
    """Check every database, key, contract and published file of a data directory.

    It may be served meanwhile. Exit status 0: all is intact. 1: damage was found; each finding
    names the file and what to do. 2: no ledger in the folder. 3: no damage was found, but a file
    could not be looked at.
    """
    from portal.data_directory.inspection import inspect

    if not (data_dir / "ledger.sqlite").exists():  # with it a missing key is a finding
        require_ledger(data_dir)
    with _progress("entries") as progress:
        findings = [*inspect(data_dir, progress)]
    if as_json:
        typer.echo(json.dumps([asdict(each) for each in findings], indent=1))
    else:
        typer.echo("\n".join(map(str, findings)) or "clean")
    if any(each.looked for each in findings):
        raise typer.Exit(1)
    raise typer.Exit(NOT_LOOKED if findings else 0)


@app.command()
def export(
    folder: Annotated[Path, typer.Argument(help="The public tile directory to write.")],
    data_dir: DataDir = HERE,
    states: Annotated[
        Path | None, typer.Option(help="Tile directory to write for the log of latest states.")
    ] = None,
) -> None:
    """Publish the consent log as a C2SP tile directory. A later run adds only what is new.

    Exit status 1: too few witnesses cosigned, and the directory is unchanged. 2: no ledger in the
    folder.
    """
    from ledger.service import Ledger
    from ledger.witness.client import QuorumError, RolledBackError

    ledger = Ledger.reopen(require_ledger(data_dir))
    try:
        if states is not None:  # first, so that the published state log is never the newer one
            ledger.states.export(states)
        ledger.export(folder)
        typer.echo((folder / "checkpoint").read_text("utf-8"))
    except (QuorumError, RolledBackError) as error:
        fail(str(error), 1)
    finally:
        ledger.close()


@app.command("rotate-key")
def rotate_key(data_dir: DataDir = HERE) -> None:
    """Replace the log's signing keys. Old and new keys sign the log entry that records it.

    Afterwards give the printed policy to whoever verifies. Exit status
    2: no ledger in the folder.
    """
    from portal.operations import open_ledger

    with open_ledger.writing(require_ledger(data_dir)) as ledger:
        ledger.rotate(data_dir, clock.now())
    typer.echo((data_dir / "consent.policy").read_text("utf-8"))


@app.command()
def keygen(
    name: Annotated[str, typer.Argument(help="The log's origin or the witness's name.")],
    folder: Annotated[Path, typer.Argument(help="Folder to write the key files to.")],
    witness: Annotated[bool, typer.Option("--witness", help="Make a witness's key.")] = False,
) -> None:
    """Make a key pair: NAME.key is for its owner alone, NAME.vkey for everybody.

    Exit status 2: the name has a space or a plus, or the file exists.
    """
    from ledger.tlog import atomic_file, cosignature, signed_note

    signed_note.require_name(name)
    if witness:
        made = cosignature.generate(name)
        secret, public = made.secret(), str(made.key)
    else:
        signer = signed_note.generate(name)
        secret, public = signer.secret(), str(signer.verifier)
    stem = name.replace("/", "-")
    path = folder / f"{stem}.key"
    if path.exists():
        fail(f"{path} exists already; move it away first")
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
