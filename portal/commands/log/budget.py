"""`sovereign budget verify`: recompute every scene's privacy budget from the public log."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from portal.regulator.budget_account import Recomputed

app = typer.Typer(help="Privacy budgets, as a regulator sees them.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Make typer keep the name `verify` although it is the group's only command."""


@app.command()
def verify(
    log: Annotated[str, typer.Argument(help="The consent log: a tile directory, or its URL.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the accounts as JSON.")] = False,
) -> None:
    """Recompute every scene's spending from the noisy figures in the log. Exact; no private data.

    Of every release it recomputes the privacy loss, the account, the root of the log it was fitted
    at, and looks up the contract of its domain. `sovereign audit` checks the log itself. Exit
    status 0: every record follows the rules. 1: some do not, and are listed. 2: the log cannot be
    read.
    """
    from rich.console import Console

    from ledger.tlog.fetcher import UnreadableError, at
    from portal.commands.errors import fail
    from portal.regulator.budget_account import recompute

    try:
        with Console(stderr=True).status("Recomputing"):
            recomputed = recompute(at(log))
    except (UnreadableError, ValueError) as error:
        fail(f"{log} cannot be read as a log ({error}): give a tile directory or its URL")
    typer.echo(json.dumps(_body(recomputed), indent=2) if as_json else _text(recomputed))
    for finding in recomputed.findings:
        typer.echo(finding, err=True)
    raise typer.Exit(1 if recomputed.findings else 0)


def _text(recomputed: "Recomputed") -> str:
    lines = []
    for (scene, period), account in sorted(recomputed.spending.accounts.items()):
        rho, left = float(account.spent.rho), float(account.left.rho)
        lines.append(f"{scene:24} {period}  spent rho {rho:.6f}  left {left:.6f}")
    return "\n".join([*lines, f"{recomputed.records} records, {len(recomputed.findings)} findings"])


def _body(recomputed: "Recomputed") -> dict[str, Any]:
    from synthetic.privacy.budget import exact

    accounts = [
        {"scene": s, "period": p, "spent": exact(a.spent.rho), "left": exact(a.left.rho)}
        for (s, p), a in sorted(recomputed.spending.accounts.items())
    ]
    return {"accounts": accounts, "records": recomputed.records, "findings": recomputed.findings}
