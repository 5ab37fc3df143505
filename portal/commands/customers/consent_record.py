"""`sovereign consent-record`: a receipt as ISO/IEC TS 27560 JSON-LD with W3C DPV terms."""

from pathlib import Path
from typing import Annotated

import typer

from ledger import clock
from portal.commands.errors import MistakeError, fail, require_file

app = typer.Typer()

HERE = Path("data")


@app.command("consent-record")
def consent_record(
    file: Annotated[Path, typer.Argument(metavar="RECEIPT", help="A receipt (tlog-proof).")],
    out: Annotated[Path | None, typer.Option(help="The file to write. Default: print it.")] = None,
    demo: Annotated[
        bool, typer.Option("--demo", help="Use the demonstration's company as the controller.")
    ] = False,
    data_dir: Annotated[
        Path, typer.Option("--data-dir", help="Folder with earlier versions of the contracts.")
    ] = HERE,
) -> None:
    """Write a receipt as JSON-LD: a consent record by ISO/IEC TS 27560 in the DPV profile.

    The receipt is not verified: `sovereign verify` does that. Exit status 1: the file is not the
    receipt of a consent, or the settings do not name the controller. 2: no such file or folder.
    """
    from ledger.tlog import atomic_file
    from ledger.verify import receipt
    from ledger.verify.receipt import ReceiptError
    from portal.archive import pack
    from portal.consent import shown_version
    from portal.operations.controller import UnstatedError, organisation
    from portal.operations.settings import Settings
    from portal.operations.wiring import contracts
    from steward.dpv.consent_receipt import NoConsentError, document, instruction

    if data_dir != HERE and not data_dir.is_dir():
        raise MistakeError(f"no folder {data_dir}: check --data-dir")
    require_file(file, "a receipt")
    now = clock.now()
    settings = Settings(demo=True) if demo else Settings()
    try:
        proof = file.read_bytes().decode()
        scenes = shown_version.contracts(
            instruction(receipt.parse(proof)), contracts()[1], data_dir
        )
        made = pack.document(document(proof, scenes, organisation(settings), now))
    except (OSError, UnicodeDecodeError) as error:
        fail(f"want a receipt, found {error}; download it again", 1)
    except (ReceiptError, NoConsentError, UnstatedError) as error:
        fail(str(error), 1)
    if out is None:
        typer.echo(made.decode(), nl=False)
    else:
        atomic_file.write(out, made, atomic_file.OWNER_ONLY)
        typer.echo(f"{out}: {len(made)} bytes")
