"""`sovereign contracts`: hold the source against what the contracts promise. Run it every hour."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ledger import clock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from steward.contracts.health import Check, ContractAlert

app = typer.Typer(help="Contracts and whether the sources keep them.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Keep `check` a command of its own."""


@app.command()
def check(
    data_dir: Annotated[Path, typer.Option("--data-dir", help="Where ledger, keys and data live.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Check every contract against the source once, and remember the result.

    Reads no row and opens no ledger, so it runs beside a portal. Exit status 0: nothing misses for
    the third time. 1: something does, and is listed. 2: the source cannot be looked at.
    """
    from gate.reads.sources.duckdb import DuckDBSource
    from gate.reads.sources.interface import SourceUnavailableError
    from portal.operations.wiring import contracts
    from steward.contracts import health as contract_health
    from steward.contracts import source_probe
    from steward.contracts.health import ContractHealth, RunOrderError

    source, scenes = contracts()
    at = clock.now()
    try:
        facts = source_probe.observe(DuckDBSource(data_dir / "customers.duckdb"), source)
        found = contract_health.checks(scenes, source, facts, at)
        health = ContractHealth(data_dir / "health.sqlite", scenes)
        health.record(found, at)
    except (SourceUnavailableError, RunOrderError) as error:
        typer.echo(f"{error}; nothing was checked", err=True)
        raise typer.Exit(2) from error
    alerts = health.alerts()
    typer.echo(_json(found, alerts) if as_json else _told(found, alerts))
    raise typer.Exit(1 if alerts else 0)


def _told(found: "Sequence[Check]", alerts: "Sequence[ContractAlert]") -> str:
    missed = [each for each in found if not each.kept]
    lines = [f"{len(found)} checks, {len(missed)} missed"]
    lines += [
        f"  {c.scene}.{c.field} {c.aspect}: wanted {c.wanted}, found {c.found or '-'}"
        for c in missed
    ]
    lines += [
        f"ALERT {each.scene}.{each.field}: missed {each.misses} times in a row since "
        f"{each.since:%Y-%m-%d %H:%M} UTC; substitute: {each.substitute or 'none'}"
        for each in alerts
    ]
    return "\n".join(lines)


def _json(found: "Sequence[Check]", alerts: "Sequence[ContractAlert]") -> str:
    missed = [
        {
            "scene": c.scene,
            "field": c.field,
            "aspect": c.aspect,
            "wanted": c.wanted,
            "found": c.found,
        }
        for c in found
        if not c.kept
    ]
    raised = [
        {
            "scene": each.scene,
            "field": each.field,
            "misses": each.misses,
            "since": each.since.isoformat(),
            "substitute": each.substitute,
        }
        for each in alerts
    ]
    return json.dumps({"checks": len(found), "missed": missed, "alerts": raised})
