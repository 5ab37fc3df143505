"""`sovereign state-proof`: what is in force for a customer, provably the latest."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.command()
def state_proof(
    subject: Annotated[str, typer.Argument(help="Whose state.")],
    data_dir: Annotated[Path, typer.Option("--data-dir", help="Where ledger and keys live.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="The file to write; none: printed.")
    ] = None,
) -> None:
    """Prove the latest state of a customer; check with python -m ledger.verify.state_cli.

    Exit status 0: proven. 1: nothing is known of the customer, or they were erased.
    """
    from ledger.service import Ledger, UnknownSubjectError
    from ledger.tlog import atomic_file

    ledger = Ledger.reopen(data_dir)
    try:
        proof = str(ledger.state_proof(subject))
    except UnknownSubjectError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    finally:
        ledger.close()
    if out is None:
        typer.echo(proof, nl=False)
    else:
        atomic_file.write(out, proof.encode())
