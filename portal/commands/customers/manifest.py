"""`sovereign manifest`: what a training set rests on, and which models a veto has reached."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ledger import clock

if TYPE_CHECKING:
    from ledger.service import Ledger

app = typer.Typer(help="Manifests of training sets.", no_args_is_help=True)

DataDir = Annotated[Path, typer.Option("--data-dir", help="Where ledger, keys and data live.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON value instead of lines.")]
HERE = Path("data")


@app.command()
def make(
    model: Annotated[str, typer.Argument(help="The model that is to be trained.")],
    field: Annotated[
        list[str] | None, typer.Option(help="An item it is trained on; again for each. Else all.")
    ] = None,
    scene: Annotated[str, typer.Option(help="The scene that allows it.")] = "ai-training",
    announce: Annotated[
        bool, typer.Option("--announce", help="Write the manifest's digest into the log.")
    ] = False,
    data_dir: DataDir = HERE,
) -> None:
    """Write the manifest of everybody who allows it now, and print where it lies.

    Stop what writes the ledger first. Exit status 1: none was written, and why.
    """
    from ledger.events.envelope import ManifestPublished
    from portal.operations.wiring import contracts
    from steward.oversight import manifest

    now = clock.now()
    with _ledger(data_dir) as ledger:
        known = contracts()[1]
        if scene not in known:
            raise manifest.ManifestError(f"want one of {[*known]}, found {scene!r}")
        made = manifest.make(ledger, known[scene], model, field or [*known[scene].fields], now)
        path = manifest.keep(data_dir, made)
        if announce:
            ledger.announce([ManifestPublished(model, made.digest, made.size, now)])
        typer.echo(f"{path}: {len(made.entries)} entries of {made.size}")


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(help="A manifest.")], data_dir: DataDir = HERE
) -> None:
    """Check that each entry stands in the log and allowed the training at its ledger size.

    Exit status 0: all of them did. 1: some did not, or it is no manifest of this log.
    """
    from steward.contracts.archive import ContractArchive
    from steward.oversight import manifest

    with _ledger(data_dir) as ledger:
        found = manifest.parse(file.read_bytes())
        gone = manifest.verify(found, ledger, ContractArchive(data_dir / "contracts"))
        more = f"; {gone} of customers who were erased since cannot be opened" if gone else ""
        typer.echo(f"{len(found.entries)} entries, no veto at {found.size} entries{more}")


@app.command()
def affected(data_dir: DataDir = HERE, as_json: AsJson = False) -> None:
    """List the models that later vetoes and erasures have reached.

    Exit status 0: none. 1: some, each with the entries to be left out when it is trained again.
    """
    from steward.oversight import manifest

    with _ledger(data_dir) as ledger:
        found = [manifest.affected(each, ledger) for each in manifest.stored(data_dir)]
    hit = [each for each in found if each]
    if as_json:
        rows = [
            {
                "model": each.manifest.model,
                "manifest": each.manifest.digest,
                "vetoed": [list(pair) for pair in each.vetoed],
                "erased": list(each.erased),
            }
            for each in hit
        ]
        typer.echo(json.dumps(rows, indent=1))
    else:
        for each in hit:
            typer.echo(
                f"{each.manifest.model}  {each.manifest.digest[:16]}  {len(each.vetoed)} vetoed, "
                f"{len(each.erased)} erased, of {len(each.manifest.entries)}"
            )
        typer.echo(f"{len(hit)} of {len(found)} manifests affected")
    raise typer.Exit(1 if hit else 0)


@contextmanager
def _ledger(home: Path) -> Iterator["Ledger"]:
    from gate.contracts.scene import ContractError
    from portal.operations import open_ledger
    from steward.oversight.manifest import ManifestError

    ledger = open_ledger.reopen(home)
    try:
        yield ledger
    except (ManifestError, ContractError, OSError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    finally:
        ledger.close()
