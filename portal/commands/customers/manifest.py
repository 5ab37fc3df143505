"""`sovereign manifest`: the consents behind a training set, and models that a veto affects."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ledger import clock
from portal.commands.errors import MistakeError, fail, require_file, require_ledger
from portal.commands.options import HERE, DataDir

if TYPE_CHECKING:
    from ledger.service import Ledger

app = typer.Typer(help="Manifests of training sets.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON value instead of lines.")]


@app.command()
def make(
    model: Annotated[str, typer.Argument(help="The model that is to be trained.")],
    field: Annotated[
        list[str] | None,
        typer.Option(help="Item of the training data; repeat for each. Default: all of the scene."),
    ] = None,
    scene: Annotated[
        str,
        typer.Option(help="Scene whose grants allow it. Default: the company's role ai_training."),
    ] = "",
    announce: Annotated[
        bool, typer.Option("--announce", help="Publish the manifest's digest in the consent log.")
    ] = False,
    data_dir: DataDir = HERE,
) -> None:
    """Write the manifest of all customers who allow the training now, and print its path.

    Exit status 1: no manifest can be made, and why. 2: there is
    no such scene or item, or no ledger in the folder.
    """
    from ledger.events.envelope import ManifestPublished
    from portal.operations import company_folder
    from steward.oversight import manifest

    company, now = company_folder.of(require_ledger(data_dir)), clock.now()
    scene = scene or company.roles.ai_training or ""
    if (contract := company.scenes.get(scene)) is None:
        raise MistakeError(f"no scene {scene!r}: want one of {', '.join(company.scenes)}")
    if unknown := sorted({*(field or ())} - {*contract.fields}):
        raise MistakeError(
            f"scene {scene} has no item {', '.join(unknown)}: want some of "
            f"{', '.join(contract.fields)}"
        )
    with _ledger(data_dir) as ledger:
        made = manifest.make(ledger, contract, model, field or [*contract.fields], now)
        path = manifest.keep(data_dir, made)
        if announce:
            ledger.announce([ManifestPublished(model, made.digest, made.size, now)])
        typer.echo(f"{path}: {len(made.entries)} entries of {made.size}")


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(help="A manifest.")], data_dir: DataDir = HERE
) -> None:
    """Check that each entry is in the log and allowed the training at the manifest's ledger size.

    Exit status 0: all of them did. 1: some did not, or FILE is not a manifest of this log. 2: no
    such file, or no ledger in the folder.
    """
    from steward.contracts.archive import ContractArchive
    from steward.oversight import manifest

    require_ledger(data_dir)
    data = require_file(file, "a manifest").read_bytes()
    with _ledger(data_dir) as ledger:
        parsed = manifest.parse(data)
        gone = manifest.verify(parsed, ledger, ContractArchive(data_dir / "contracts"))
        more = f"; {gone} cannot be opened, of customers erased since" if gone else ""
        typer.echo(f"{len(parsed.entries)} entries, no veto at ledger size {parsed.size}{more}")


@app.command()
def affected(data_dir: DataDir = HERE, as_json: AsJson = False) -> None:
    """List the models that later vetoes and erasures affect.

    Exit status 0: none. 1: some, each with the entries to leave out when it is trained again. 2: no
    ledger in the folder.
    """
    from steward.oversight import manifest

    with _ledger(data_dir) as ledger:
        checked = [manifest.affected(each, ledger) for each in manifest.stored(data_dir)]
    hit = [each for each in checked if each]
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
        typer.echo(f"{len(hit)} of {len(checked)} manifests affected")
    raise typer.Exit(1 if hit else 0)


@contextmanager
def _ledger(home: Path) -> Iterator["Ledger"]:
    from gate.contracts.odcs import ContractError
    from portal.operations import open_ledger
    from steward.oversight.manifest import ManifestError

    try:
        with open_ledger.writing(require_ledger(home)) as ledger:
            yield ledger
    except (ManifestError, ContractError) as error:
        fail(str(error), 1)
