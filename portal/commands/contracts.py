"""`sovereign contracts`: check the source against what the contracts promise. Run it every hour."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from ledger import clock
from portal.commands.options import HERE, DataDir

if TYPE_CHECKING:
    from collections.abc import Sequence

    from steward.contracts.health import Check, ContractAlert

app = typer.Typer(help="Check the source against the contracts.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Make typer keep the name `check` although it is the group's only command."""


@app.command()
def check(
    data_dir: DataDir = HERE,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Check every contract against the source once, and record the result.

    Reads no row and opens no ledger, so it may run while a portal does. Exit status 0: no field
    missed its promise for the third time. 1: some did, and are listed. 2: the source cannot be
    read, and nothing was checked.
    """
    from gate.reads.sources.interface import SourceUnavailableError
    from portal.commands.errors import fail
    from portal.operations import company_folder
    from portal.operations.wiring import open_source
    from steward.contracts import health as contract_health
    from steward.contracts import source_probe
    from steward.contracts.health import ContractHealth, RunOrderError

    settings, company = company_folder.at(data_dir)
    source, scenes = company.source, company.scenes
    at = clock.now()
    try:
        rows = open_source(settings, source)
        checks = contract_health.checks(scenes, source, source_probe.observe(rows, source), at)
        health = ContractHealth(data_dir, scenes)
        health.record(checks, at)
    except (SourceUnavailableError, RunOrderError) as error:
        fail(f"{error}; nothing was checked")
    alerts = health.alerts()
    typer.echo(_json(checks, alerts) if as_json else _text(checks, alerts))
    raise typer.Exit(1 if alerts else 0)


def _text(checks: "Sequence[Check]", alerts: "Sequence[ContractAlert]") -> str:
    missed = [each for each in checks if not each.met]
    lines = [f"{len(checks)} checks, {len(missed)} missed"]
    lines += [
        f"  {c.scene}.{c.field} {c.aspect}: wanted {c.wanted}, found {c.observed or '-'}"
        for c in missed
    ]
    lines += [
        f"ALERT {each.scene}.{each.field}: missed {each.misses} times in a row since "
        f"{each.since:%Y-%m-%d %H:%M} UTC; substitute: {each.substitute or 'none'}"
        for each in alerts
    ]
    return "\n".join(lines)


def _json(checks: "Sequence[Check]", alerts: "Sequence[ContractAlert]") -> str:
    missed = [
        {
            "scene": c.scene,
            "field": c.field,
            "aspect": c.aspect,
            "wanted": c.wanted,
            "found": c.observed,
        }
        for c in checks
        if not c.met
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
    return json.dumps({"checks": len(checks), "missed": missed, "alerts": raised})
