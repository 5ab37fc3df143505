"""`sovereign budget verify`: recompute what every scene has spent, from the public log alone."""

from typing import Annotated

import typer

app = typer.Typer(help="Privacy budgets, as a regulator sees them.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Keep `verify` a command of its own."""


@app.command()
def verify(
    log: Annotated[str, typer.Argument(help="The consent log: a tile directory, or its address.")],
) -> None:
    """Recompute every scene's spending from the noisy figures in the log. Exact; no private data.

    Exit status 0: every record keeps the rules. 1: some do not, and they are listed.
    Whether the log itself is whole is for `sovereign audit` to say.
    """
    from ledger import checkpoint, event, note
    from ledger.event import BudgetReserved, SyntheticReleased
    from ledger.source import Files, at
    from ledger.tile import WIDTH
    from portal.releases import limits
    from synthetic import spending

    source = at(log)
    size = checkpoint.parse(note.parse(source.read("checkpoint").decode()).text).size
    files = Files(source, size)
    records = []
    for n in range(-(-size // WIDTH)):
        for entry in files.entries(n):
            if entry[:1] == b"\x02":
                found = event.decode(entry[1:])
                if isinstance(found, (BudgetReserved, SyntheticReleased)):
                    records.append(found.body)
    spent = spending.verify(records, limits(str(each["scene"]) for each in records))
    for (scene, period), account in sorted(spent.accounts.items()):
        rho, left = float(account.spent.rho), float(account.left.rho)
        typer.echo(f"{scene:24} {period}  spent rho {rho:.6f}  left {left:.6f}")
    for finding in spent.findings:
        typer.echo(finding, err=True)
    typer.echo(f"{len(records)} records, {len(spent.findings)} findings")
    raise typer.Exit(1 if spent.findings else 0)
