"""`sovereign replay`: derive every decision of a data directory's read logs again."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from gate.replay.replay import ReplayReport

app = typer.Typer()


@app.command()
def replay(
    data_dir: Annotated[Path, typer.Option("--data-dir", help="The gate's data directory.")],
    instance: Annotated[
        str | None, typer.Argument(help="One read log, e.g. reads-1a2b3c4d; all of them if absent.")
    ] = None,
    policies: Annotated[
        list[Path] | None,
        typer.Option("--policy", help="The folder of a policy; again for each earlier one."),
    ] = None,
    processes: Annotated[int, typer.Option("--processes", min=1, help="How many at once.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Findings as JSON.")] = False,
) -> None:
    """Derive every logged decision again from ledger, contracts and policies.

    Contracts that were in force before are taken from the data directory's archive. Exit status 0:
    all of them follow. 1: some do not, and they are listed. 2: nothing to replay.
    """
    from functools import partial

    from gate.readlog.writer import LOG
    from gate.replay.replay import replay as derive
    from ledger.follower import Follower
    from portal.operations.replay_grounds import grounds

    folders = sorted(path.parent for path in (data_dir / "reads").glob(f"{instance or '*'}/{LOG}"))
    if not folders:
        typer.echo(
            f"no read log under {data_dir / 'reads'}; name a gate's data directory", err=True
        )
        raise typer.Exit(2)
    rests_on = grounds(data_dir, policies or [], partial(typer.echo, err=True))
    differing = 0
    opened = partial(Follower, data_dir)
    for folder in folders:
        run = partial(derive, opened, folder, rests_on, processes=processes)
        report = _with_progress(run, folder.name)
        differing += len(report.differences)
        _tell(folder.name, report, as_json=as_json)
    raise typer.Exit(1 if differing else 0)


def _with_progress(run: Callable[..., "ReplayReport"], name: str) -> "ReplayReport":
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(f"replaying {name}", total=None)
        return run(progress=lambda done, every: bar.update(task, completed=done, total=every))


def _tell(name: str, report: "ReplayReport", *, as_json: bool) -> None:
    if as_json:
        typer.echo(
            json.dumps(
                {"log": name, "entries": report.entries} | asdict(report), ensure_ascii=False
            )
        )
        return
    typer.echo(
        f"{name}  {report.entries} entries, {report.derived} derived again,"
        f" {report.unopened} cannot be opened, {len(report.differences)} differ"
    )
    for each in report.differences:
        typer.echo(f"  entry {each.entry}: found {each.found}; derived {each.derived}")
