"""`sovereign erase` and `sovereign hold`: erase a customer, and legal holds that prevent it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ledger import clock
from portal.commands.errors import fail, require_ledger
from portal.commands.options import HERE, DataDir

if TYPE_CHECKING:
    from portal.operations.erasure import Eraser

app = typer.Typer()
holds = typer.Typer(help="Legal holds: who must not be erased yet.", no_args_is_help=True)

Subject = Annotated[str, typer.Argument(help="The customer's number.")]
By = Annotated[str, typer.Option(help="Role of whoever decided it.")]
Reason = Annotated[str, typer.Option(help="Why; recorded, sealed under the customer's key.")]


@app.command()
def erase(
    subject: Subject,
    data_dir: DataDir = HERE,
    entry: Annotated[
        int | None, typer.Option(help="Erase only the instruction at this index of the log.")
    ] = None,
) -> None:
    """Erase a customer, or one of their instructions, permanently.

    Delete the rows in your own systems yourself. Exit status 1:
    nothing was erased, and the message says why; under a legal hold the request is recorded. 2: no
    ledger in the folder.
    """
    with _eraser(data_dir) as eraser:
        if entry is not None:
            eraser.entry(subject, entry, clock.now())
            typer.echo(f"entry {entry} was erased; receipts of it still verify")
            return
        _erase(eraser, subject)


@holds.command("set")
def hold_set(
    subject: Subject, reason: Reason, by: By = "data-protection-officer", data_dir: DataDir = HERE
) -> None:
    """Prevent erasure of a customer. Requests are recorded and carried out when the hold ends."""
    from steward.oversight.legal_hold import Holds

    with _eraser(data_dir) as eraser:
        Holds(eraser.register).set(subject, by, reason, clock.now())
    typer.echo("the hold is set; lift it with: sovereign hold lift")


@holds.command("lift")
def hold_lift(
    subject: Subject, reason: Reason, by: By = "data-protection-officer", data_dir: DataDir = HERE
) -> None:
    """End a hold. An erasure that became due meanwhile is carried out at once."""
    from portal.storage import departures
    from steward.oversight.legal_hold import Holds

    with _eraser(data_dir) as eraser:
        asked = departures.find(data_dir, subject)
        due = asked is not None and asked.due <= clock.now()
        if Holds(eraser.register).lift(subject, by, reason, clock.now()) or due:
            _erase(eraser, subject)
        elif asked is not None:
            typer.echo(f"the hold is lifted; the customer is erased at {asked.due:%Y-%m-%d %H:%M}Z")
        else:
            typer.echo("the hold is lifted; no erasure was requested")


@contextmanager
def _eraser(home: Path) -> Iterator["Eraser"]:
    """Open the ledger; a refusal inside the context ends the command with status 1."""
    from ledger.entry_erasure import ActiveEntryError, NoSuchEntryError
    from ledger.service import UnknownSubjectError
    from ledger.vault.commitments import LegacyDataKeyError
    from portal.operations import open_ledger
    from portal.operations.erasure import Eraser
    from steward.oversight.legal_hold import HoldError, LegalHoldError
    from steward.oversight.register import Register, UnsealableError

    refused = (LegalHoldError, HoldError, ActiveEntryError, NoSuchEntryError, LegacyDataKeyError)
    try:
        with open_ledger.writing(require_ledger(home)) as ledger:
            register = Register(home, ledger)
            yield Eraser(home, ledger, register)
    except (*refused, UnknownSubjectError, UnsealableError) as error:
        fail(str(error), 1)


def _erase(eraser: "Eraser", subject: str) -> None:
    gone = eraser.customer(subject, clock.now())
    numbers = f", {gone.numbers} earlier numbers of the customer" if gone.numbers else ""
    if gone.held:
        numbers += f"; {gone.held} earlier numbers stay until their legal hold is lifted"
    typer.echo(
        f"erased: {gone.instructions} instructions, names in {gone.cases} cases, {gone.passkeys} "
        f"passkeys, {gone.archives} archives, {gone.receipts} stored receipts{numbers}.\n"
        "Receipts that the customer holds still verify. Delete their rows in your own systems."
    )
