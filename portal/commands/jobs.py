"""`sovereign jobs`: show the health of a served product's jobs, from another process."""

import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ledger import clock

if TYPE_CHECKING:
    from portal.operations.job_results import Snapshot

app = typer.Typer()

COLUMNS = ("job", "health", "last success", "last run", "failures", "next run", "error")


@app.command()
def jobs(
    data_dir: Annotated[
        Path | None,
        typer.Option("--data-dir", help="Folder with the ledger, the keys and the data."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """List the jobs of `sovereign serve`, how their last runs ended, and when they run next.

    Exit status 0: every job is healthy. 1: a job fails repeatedly or is overdue, or no process runs
    the jobs. 2: the folder has no record of jobs.
    """
    from portal.commands.errors import fail, require_ledger
    from portal.operations import job_results
    from portal.operations.job_results import JobResultsError
    from portal.operations.settings import Settings

    at, home = clock.now(), data_dir or Settings().data_dir
    if not (home / job_results.FILE).exists():
        require_ledger(home)
    try:
        snapshot = job_results.load(home)
    except JobResultsError as error:
        fail(str(error))
    if as_json:
        typer.echo(json.dumps(_body(snapshot, at), ensure_ascii=False))
    else:
        _table(snapshot, at)
    raise typer.Exit(1 if snapshot.degraded(at) else 0)


def _body(snapshot: "Snapshot", at: datetime) -> dict[str, object]:
    health = snapshot.health(at)
    jobs = {n: {"health": health[n]} | each.body() for n, each in snapshot.jobs.items()}
    status = "degraded" if snapshot.degraded(at) else "ok"
    return {"status": status, "written": _time(snapshot.written), "jobs": jobs}


def _table(snapshot: "Snapshot", at: datetime) -> None:
    from rich.console import Console
    from rich.table import Column, Table

    health = snapshot.health(at)
    table = Table(
        *(Column(each, no_wrap=each == "job", overflow="fold") for each in COLUMNS), box=None
    )
    for name, each in snapshot.jobs.items():
        times = [_time(each.last_success), _time(each.last_started)]
        rest = [str(each.failures), _time(each.next_run), each.error]
        table.add_row(name, health[name], *times, *rest)
    Console().print(table)
    typer.echo(f"as of {_time(snapshot.written)}")


def _time(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M:%SZ}" if at else "-"
