"""`sovereign consent-record`: a receipt in the words of ISO/IEC TS 27560 and the W3C DPV."""

from pathlib import Path
from typing import Annotated

import typer

from ledger import clock

app = typer.Typer()

HERE = Path("data")


@app.command("consent-record")
def consent_record(
    file: Annotated[Path, typer.Argument(metavar="RECEIPT", help="A receipt (tlog-proof).")],
    out: Annotated[Path | None, typer.Option(help="The file to write; else it is printed.")] = None,
    demo: Annotated[
        bool, typer.Option("--demo", help="Let the demonstration's company stand for yours.")
    ] = False,
    data_dir: Annotated[
        Path, typer.Option("--data-dir", help="Where earlier versions of the contracts lie.")
    ] = HERE,
) -> None:
    """Write a receipt as JSON-LD: a consent record by ISO/IEC TS 27560 in the DPV profile.

    The receipt is not verified: `sovereign verify` does that. Exit status 1: there is no consent
    record in it, or the settings do not say who is responsible.
    """
    from ledger.tlog import atomic_file
    from ledger.verify import receipt
    from ledger.verify.receipt import ReceiptError
    from portal.archive import pack
    from portal.consent import shown_version
    from portal.operations.controller import UnstatedError, house
    from portal.operations.settings import Settings
    from portal.operations.wiring import contracts
    from steward.dpv.consent_receipt import NoConsentError, document, instruction

    now = clock.now()
    settings = Settings(demo=True) if demo else Settings()
    try:
        proof = file.read_bytes().decode()
        scenes = shown_version.contracts(
            instruction(receipt.parse(proof)), contracts()[1], data_dir
        )
        made = pack.document(document(proof, scenes, house(settings), now))
    except (OSError, UnicodeDecodeError) as error:
        typer.echo(f"want a receipt, found {error}; download it again", err=True)
        raise typer.Exit(1) from None
    except (ReceiptError, NoConsentError, UnstatedError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    if out is None:
        typer.echo(made.decode(), nl=False)
    else:
        atomic_file.write(out, made, atomic_file.OWNER_ONLY)
        typer.echo(f"{out}: {len(made)} bytes")
