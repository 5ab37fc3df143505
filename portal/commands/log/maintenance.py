"""`sovereign fsck`, `migrate`, `export`, `rotate-key`, `keygen`: maintenance of the ledger."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ledger import clock
from portal.commands.errors import fail, require_ledger
from portal.commands.options import HERE, DataDir

if TYPE_CHECKING:
    from ledger.tlog.checkpoint import Checkpoint

app = typer.Typer()

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON value instead of lines.")]
NOT_LOOKED = 3  # exit status: a file could not be checked, and nothing else was found


@app.command()
def fsck(
    data_dir: DataDir = HERE,
    as_json: AsJson = False,
    new_only: Annotated[
        bool, typer.Option("--new", help="Only what no earlier run found to be intact.")
    ] = False,
) -> None:
    """Check every database, key, contract and published file of a data directory.

    It may be served meanwhile. With --new it does not look again at entries that an earlier run
    checked, nor at the pages of the databases of the logs and the vault: damage there is not found.

    Exit status 0: all is intact. 1: damage was found; each finding names the file and what to do.
    2: no ledger in the folder. 3: no damage was found, but a file could not be looked at.
    """
    from ledger.fsck import PublicEntries
    from portal.data_directory.inspection import inspect

    if not (data_dir / "ledger.sqlite").exists():  # with it a missing key is a finding
        require_ledger(data_dir)
    acts = PublicEntries()
    since = _checked(data_dir) if new_only else {}
    with _progress("entries") as progress:
        findings = [*inspect(data_dir, progress, acts, since)]
    if not findings:
        _remember(data_dir, acts.seen)
    if as_json:
        typer.echo(json.dumps([asdict(each) for each in findings], indent=1))
    else:
        typer.echo("\n".join(map(str, findings)) or "clean")
        if "consent" in since:
            size = since["consent"].size
            typer.echo(
                f"{size} entries were checked before; without --new they are checked again",
                err=True,
            )
    if any(each.looked for each in findings):
        raise typer.Exit(1)
    raise typer.Exit(NOT_LOOKED if findings else 0)


def _checked(home: Path) -> "Mapping[str, Checkpoint]":
    """What the last clean run checked of each log; nothing if its record is damaged."""
    from portal.data_directory import checked

    try:
        return {name: each.checkpoint for name, each in checked.load(home).fsck.items()}
    except ValueError:
        return {}


def _remember(home: Path, seen: "Mapping[str, Checkpoint]") -> None:
    from portal.data_directory import checked

    positions = {name: checked.CheckedPosition.at(head) for name, head in seen.items()}
    with suppress(OSError):  # of a copy that cannot be written: the next run checks all again
        checked.save(home, checked.CheckedPositions(positions, checked.load(home).replay))


@app.command()
def migrate(data_dir: DataDir = HERE) -> None:
    """Bring the tables and the map of a data directory to the version of this program.

    Stop what serves it, and make a backup first: an earlier program cannot use it afterwards. Exit
    status 2: no ledger in the folder; it is in use; or a newer program wrote it.
    """
    from portal.data_directory import migration

    done = 0
    for each in migration.migrate(require_ledger(data_dir)):
        done += 1
        typer.echo(f"{each.schema}: {each.before} -> {each.after}")
    if not done:
        typer.echo("nothing to do: all tables and the map have this version")


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
