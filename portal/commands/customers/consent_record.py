"""`sovereign consent-record` and `processing-record`: JSON-LD with the terms of W3C DPV."""

from pathlib import Path
from typing import Annotated

import typer

from ledger import clock
from portal.commands.errors import MistakeError, fail, require_file, require_place
from portal.commands.options import HERE, DataDir

app = typer.Typer()


@app.command("consent-record")
def consent_record(
    file: Annotated[Path, typer.Argument(metavar="RECEIPT", help="A receipt (tlog-proof).")],
    out: Annotated[Path | None, typer.Option(help="The file to write. Default: print it.")] = None,
    demo: Annotated[
        bool, typer.Option("--demo", help="Use the demonstration's company as the controller.")
    ] = False,
    data_dir: DataDir = HERE,
) -> None:
    """Write a receipt as JSON-LD: a consent record by ISO/IEC TS 27560 in the DPV profile.

    Under legitimate interest it is the record of an objection, or of its end. The receipt is not
    verified: `sovereign verify` does that. Exit status 1: the file is no receipt of a decision on a
    scene, or the settings do not name the controller. 2: no such file or folder.
    """
    from ledger.verify import receipt
    from ledger.verify.receipt import ReceiptError
    from portal.archive import pack
    from portal.consent import shown_version
    from portal.operations import company_folder
    from portal.operations.company_folder import UnstatedError, organisation
    from portal.operations.settings import Settings
    from portal.web import i18n
    from steward.dpv.consent_receipt import NoConsentError, document, instruction

    if data_dir != HERE and not data_dir.is_dir():
        raise MistakeError(f"no folder {data_dir}: check --data-dir, or the setting data_dir")
    require_file(file, "a receipt")
    settings = Settings(data_dir=data_dir, demo=True) if demo else Settings(data_dir=data_dir)
    settings, company = company_folder.configured(settings)
    try:
        proof = file.read_bytes().decode()
        scenes = shown_version.contracts(
            instruction(receipt.parse(proof)), company.scenes, data_dir, i18n.load(company)
        )
        about = organisation(settings, company), clock.now(), company.source.categories
        made = pack.document(document(proof, scenes, *about))
    except (OSError, UnicodeDecodeError) as error:
        fail(f"want a receipt, found {error}; download it again", 1)
    except (ReceiptError, NoConsentError, UnstatedError) as error:
        fail(str(error), 1)
    _write(made, out)


@app.command("processing-record")
def processing_record(
    scene: Annotated[str, typer.Argument(help="A scene that rests on another basis than consent.")],
    out: Annotated[Path | None, typer.Option(help="The file to write. Default: print it.")] = None,
    demo: Annotated[
        bool, typer.Option("--demo", help="Use the demonstration's company as the controller.")
    ] = False,
    data_dir: DataDir = HERE,
) -> None:
    """Write the record of a use that needs no consent as JSON-LD, in the terms of DPV.

    It states purpose, legal basis, items, recipients, storage and rights of the scene's contract,
    and names no customer. Exit status 1: the settings do not name the controller. 2: no such scene
    or folder, or one that rests on consent.
    """
    from portal.archive import pack
    from portal.operations import company_folder
    from portal.operations.company_folder import UnstatedError, organisation
    from portal.operations.settings import Settings
    from steward.dpv.processing_record import of_scene

    if data_dir != HERE and not data_dir.is_dir():
        raise MistakeError(f"no folder {data_dir}: check --data-dir, or the setting data_dir")
    settings = Settings(data_dir=data_dir, demo=True) if demo else Settings(data_dir=data_dir)
    settings, company = company_folder.configured(settings)
    wanted = {name for name, each in company.scenes.items() if not each.needs_consent}
    if scene not in wanted:
        listed = ", ".join(sorted(wanted)) or "none: every scene rests on consent"
        raise MistakeError(f"no scene {scene!r} on another basis than consent: want {listed}")
    try:
        about = organisation(settings, company), clock.now(), company.source.categories
    except UnstatedError as error:
        fail(str(error), 1)
    _write(pack.document(of_scene(company.scenes[scene], *about)), out)


def _write(document: bytes, out: Path | None) -> None:
    from ledger.tlog import atomic_file

    if out is None:
        typer.echo(document.decode(), nl=False)
    else:
        atomic_file.write(require_place(out), document, atomic_file.OWNER_ONLY)
        typer.echo(f"{out}: {len(document)} bytes")
