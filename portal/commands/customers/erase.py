"""`sovereign erase` and `sovereign hold`: a customer leaves, or has to stay for a while."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ledger import clock

if TYPE_CHECKING:
    from portal.operations.erasure import Eraser

app = typer.Typer()
holds = typer.Typer(help="Legal holds: who must not be erased yet, and why.", no_args_is_help=True)

Subject = Annotated[str, typer.Argument(help="The customer's number.")]
DataDir = Annotated[Path, typer.Option("--data-dir", help="Where ledger, keys and data live.")]
By = Annotated[str, typer.Option(help="Who decided it: a role.")]
Reason = Annotated[str, typer.Option(help="Why; kept sealed under the customer's key.")]
HERE = Path("data")


@app.command()
def erase(
    subject: Subject,
    data_dir: DataDir = HERE,
    entry: Annotated[
        int | None, typer.Option(help="Erase only the instruction at this index of the log.")
    ] = None,
) -> None:
    """Erase a customer, or one instruction of theirs, for ever.

    Stop what writes the ledger first. Rows of your own systems stay: delete them there. Exit status
    1: nothing was erased, and the message says why; under a legal hold the request is kept.
    """
    with _eraser(data_dir) as eraser:
        if entry is not None:
            eraser.entry(subject, entry, clock.now())
            typer.echo(f"entry {entry} was erased; receipts of it still verify")
            return
        _told(eraser, subject)


@holds.command("set")
def hold_set(
    subject: Subject, reason: Reason, by: By = "data-protection-officer", data_dir: DataDir = HERE
) -> None:
    """From now on the customer is not erased; a request is kept until the hold is lifted."""
    from steward.oversight.legal_hold import Holds

    with _eraser(data_dir) as eraser:
        Holds(eraser.register).set(subject, by, reason, clock.now())
    typer.echo("the hold stands; lift it with: sovereign hold lift")


@holds.command("lift")
def hold_lift(
    subject: Subject, reason: Reason, by: By = "data-protection-officer", data_dir: DataDir = HERE
) -> None:
    """The hold ends. An erasure that was asked for meanwhile is carried out at once."""
    from steward.oversight.legal_hold import Holds

    with _eraser(data_dir) as eraser:
        if Holds(eraser.register).lift(subject, by, reason, clock.now()):
            _told(eraser, subject)
        else:
            typer.echo("the hold is lifted; nobody had asked for an erasure")


@contextmanager
def _eraser(home: Path) -> Iterator["Eraser"]:
    """Opens the ledger; what is refused inside ends the command with status 1."""
    from ledger.entry_erasure import ActiveEntryError, NoSuchEntryError
    from ledger.service import UnknownSubjectError
    from ledger.vault.commitments import OneHalfError
    from portal.operations import open_ledger
    from portal.operations.erasure import Eraser
    from steward.oversight import review
    from steward.oversight.legal_hold import HoldError, LegalHoldError
    from steward.oversight.register import Register, UnsealableError

    refused = (LegalHoldError, HoldError, ActiveEntryError, NoSuchEntryError, OneHalfError)
    ledger = open_ledger.reopen(home)
    try:
        register = Register(home / "register.sqlite", ledger, review.SCHEMA)
        yield Eraser(home, ledger, register)
    except (*refused, UnknownSubjectError, UnsealableError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    finally:
        ledger.close()


def _told(eraser: "Eraser", subject: str) -> None:
    gone = eraser.customer(subject, clock.now())
    typer.echo(
        f"erased: {gone.instructions} instructions, names in {gone.cases} cases, {gone.passkeys} "
        f"passkeys, {gone.archives} archives, {gone.receipts} kept receipts.\n"
        "Receipts that the customer holds still verify. Delete their rows in your own systems."
    )
