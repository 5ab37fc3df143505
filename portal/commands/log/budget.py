"""`sovereign budget verify`: recompute what every scene has spent, from the public log alone."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from portal.regulator.budget_account import Recomputed

app = typer.Typer(help="Privacy budgets, as a regulator sees them.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Keep `verify` a command of its own."""


@app.command()
def verify(
    log: Annotated[str, typer.Argument(help="The consent log: a tile directory, or its address.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the accounts as JSON.")] = False,
) -> None:
    """Recompute every scene's spending from the noisy figures in the log. Exact; no private data.

    Every release's promise, the account that it states, the root of the log that it was fitted at
    and the contract that its domain comes from are recomputed or looked up. Exit status 0: every
    record keeps the rules. 1: some do not, and they are listed. Whether the log itself is whole is
    for `sovereign audit` to say.
    """
    from rich.console import Console

    from ledger.tlog.fetcher import at
    from portal.regulator.budget_account import recompute

    with Console(stderr=True).status("Recomputing"):
        found = recompute(at(log))
    typer.echo(json.dumps(_body(found), indent=2) if as_json else _text(found))
    for finding in found.findings:
        typer.echo(finding, err=True)
    raise typer.Exit(1 if found.findings else 0)


def _text(found: "Recomputed") -> str:
    lines = []
    for (scene, period), account in sorted(found.spending.accounts.items()):
        rho, left = float(account.spent.rho), float(account.left.rho)
        lines.append(f"{scene:24} {period}  spent rho {rho:.6f}  left {left:.6f}")
    return "\n".join([*lines, f"{found.records} records, {len(found.findings)} findings"])


def _body(found: "Recomputed") -> dict[str, Any]:
    from synthetic.privacy.budget import exact

    accounts = [
        {"scene": s, "period": p, "spent": exact(a.spent.rho), "left": exact(a.left.rho)}
        for (s, p), a in sorted(found.spending.accounts.items())
    ]
    return {"accounts": accounts, "records": found.records, "findings": found.findings}
