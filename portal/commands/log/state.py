"""`sovereign state-proof`: prove a customer's latest state."""

from pathlib import Path
from typing import Annotated

import typer

from portal.commands.errors import fail, require_ledger, require_place
from portal.commands.options import HERE, DataDir

app = typer.Typer()


@app.command()
def state_proof(
    subject: Annotated[str, typer.Argument(help="The customer's number.")],
    data_dir: DataDir = HERE,
    out: Annotated[
        Path | None, typer.Option("--out", help="The file to write. Default: print it.")
    ] = None,
) -> None:
    """Prove the latest state of a customer. `python -m ledger.verify.state_cli` checks the proof.

    Exit status 0: proven. 1: the customer gave no instruction, or was erased. 2: no ledger in the
    folder.
    """
    from ledger.service import Ledger, UnknownSubjectError
    from ledger.tlog import atomic_file

    home = require_ledger(data_dir)
    if out is not None:
        require_place(out)
    ledger = Ledger.reopen(home)
    try:
        proof = str(ledger.state_proof(subject))
    except UnknownSubjectError as error:
        fail(str(error), 1)
    finally:
        ledger.close()
    if out is None:
        typer.echo(proof, nl=False)
    else:
        atomic_file.write(out, proof.encode())
