"""`sovereign replay`: recompute every decision in the read logs of a data directory."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from portal.commands.errors import fail, require_ledger

if TYPE_CHECKING:
    from gate.replay.replay import ReplayReport

app = typer.Typer()


@app.command()
def replay(
    data_dir: Annotated[Path, typer.Option("--data-dir", help="The gate's data directory.")],
    instance: Annotated[
        str | None, typer.Argument(help="One read log, e.g. reads-1a2b3c4d. Default: all of them.")
    ] = None,
    policies: Annotated[
        list[Path] | None,
        typer.Option("--policy", help="Folder of a policy; repeat for each earlier one."),
    ] = None,
    processes: Annotated[
        int, typer.Option("--processes", min=1, help="How many to run at once.")
    ] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print findings as JSON.")] = False,
) -> None:
    """Recompute every logged decision from ledger, contracts and policies, and compare.

    Earlier contracts are taken from the data directory's archive. Exit status 0: every decision is
    the same. 1: some differ, and are listed. 2: there is no such read log, ledger or policy.
    """
    from functools import partial

    from gate.readlog.writer import LOG
    from gate.replay.replay import replay as derive
    from ledger.follower import Follower
    from portal.operations.replay_grounds import grounds

    folders = sorted(path.parent for path in (data_dir / "reads").glob(f"*/{LOG}"))
    if not folders:
        require_ledger(data_dir)
        fail(f"no read log under {data_dir / 'reads'}; name a gate's data directory")
    if instance is not None:
        names = ", ".join(path.name for path in folders)
        folders = [path for path in folders if path.name == instance]
        if not folders:
            fail(f"no read log {instance!r} under {data_dir / 'reads'}: want one of {names}")
    rests_on = grounds(data_dir, policies or [], partial(typer.echo, err=True))
    differing = 0
    opened = partial(Follower, data_dir)
    for folder in folders:
        run = partial(derive, opened, folder, rests_on, processes=processes)
        report = _with_progress(run, folder.name)
        differing += len(report.differences)
        _print(folder.name, report, as_json=as_json)
    raise typer.Exit(1 if differing else 0)


def _with_progress(run: Callable[..., "ReplayReport"], name: str) -> "ReplayReport":
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(f"replaying {name}", total=None)
        return run(progress=lambda done, every: bar.update(task, completed=done, total=every))


def _print(name: str, report: "ReplayReport", *, as_json: bool) -> None:
    if as_json:
        typer.echo(
            json.dumps(
                {"log": name, "entries": report.entries} | asdict(report), ensure_ascii=False
            )
        )
        return
    typer.echo(
        f"{name}  {report.entries} entries, {report.derived} recomputed,"
        f" {report.unopened} cannot be opened, {len(report.differences)} differ"
    )
    for each in report.differences:
        typer.echo(f"  entry {each.entry}: logged {each.logged}; recomputed {each.derived}")
