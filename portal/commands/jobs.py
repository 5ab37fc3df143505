"""`sovereign jobs`, `clock`: the health of a served product's jobs and of the machine's clock."""

import json
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from ledger import clock
from portal.commands.options import HERE, DataDir

if TYPE_CHECKING:
    from portal.operations.job_results import Snapshot

app = typer.Typer()

COLUMNS = ("job", "health", "last success", "last run", "failures", "next run", "error")


@app.command()
def jobs(
    data_dir: DataDir = HERE,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """List the jobs of `sovereign serve`, how their last runs ended, and when they run next.

    Exit status 0: every job is healthy. 1: a job fails repeatedly or is overdue, or no process runs
    the jobs. 2: the folder has no record of jobs.
    """
    from portal.commands.errors import fail, require_ledger
    from portal.operations import job_results
    from portal.operations.job_results import JobResultsError

    at, home = clock.now(), data_dir
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


@app.command("clock")
def confirm_clock(
    data_dir: DataDir = HERE,
    confirm: Annotated[
        bool, typer.Option("--confirm", help="The clock of this machine is right.")
    ] = False,
) -> None:
    """Say whether the clock of this machine is believed, and confirm it if it is right.

    A clock that jumped, or that is far from when the data directory was last used, is not believed:
    nothing personal is answered until it is set right or confirmed. Exit status 1: it is not
    believed. 2: no ledger in the folder.
    """
    from ledger.integrity import witnessed_time
    from ledger.tlog import atomic_file
    from ledger.verify.times.attested import BEHIND
    from portal.commands.errors import fail, require_ledger
    from portal.operations import job_results

    home = require_ledger(data_dir)
    if confirm:
        seen, shown = witnessed_time.seen_at(home), clock.shown()
        if seen is not None and seen.at - shown > BEHIND:
            fail(
                f"{seen.who} saw this log at {_time(seen.at)}, and the clock of this machine shows "
                f"{_time(shown)}: nothing was confirmed; set the clock",
                1,
            )
        atomic_file.write(home / clock.CONFIRMED, clock.confirmation())
        typer.echo("confirmed: what is served believes it within a few seconds")
        return
    clock.begin(home, job_results.last_used(home))
    if (why := clock.doubt()) is not None:
        fail(why, 1)
    typer.echo(f"believed: {_time(clock.now())}")


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
