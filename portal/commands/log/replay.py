"""`sovereign replay`: recompute every decision in the read logs of a data directory."""

import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from portal.commands.errors import fail, require_ledger
from portal.commands.options import HERE, DataDir

if TYPE_CHECKING:
    from gate.replay.history import ReplayGrounds
    from gate.replay.report import ReplayReport
    from portal.data_directory.checked import CheckedPosition

app = typer.Typer()
NOT_READ = 3  # exit status: something could not be read, and nothing else was found


@app.command()
def replay(
    data_dir: DataDir = HERE,
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
    new_only: Annotated[
        bool, typer.Option("--new", help="Only what no earlier run found to be right.")
    ] = False,
) -> None:
    """Recompute every logged decision from ledger, contracts and policies, and compare.

    With --new it goes on where the last run without a difference ended, unless --policy is given.
    A read log whose entries are not those that its key signed is named, and nothing of it is
    recomputed. Earlier contracts are taken from the data directory's archive. Exit status 0: every
    decision is the same. 1: something was read and is wrong: decisions differ, or a read log is not
    what its key signed, was cut, or was opened and is missing. 2: nothing was looked at: there is
    no such read log, ledger or policy. 3: nothing is wrong in what was read, and a read log could
    not be read. A read log that is here, was not closed, and that no process here writes, is named;
    that changes no status.
    """
    from functools import partial

    from gate.storage.read_log import instances
    from portal.data_directory import checked
    from portal.operations.replay_grounds import grounds

    stored, before = instances(data_dir), checked.load(data_dir).replay
    wrong = _chain(data_dir, stored, before) if instance is None else {}
    names = _chosen(data_dir, stored, wrong, instance)
    for name, what in wrong.items():
        typer.echo(f"{name}: {what}", err=True)
    rests_on = grounds(data_dir, policies or [], partial(typer.echo, err=True))
    begin = before if new_only and not policies else {}
    differing, unread = len(wrong), 0
    done = dict(before)
    for name in names:
        since = begin[name].size if name in begin and name not in wrong else 0
        report = _derived(data_dir, name, rests_on, processes, since)
        differing += len(report.differences) + len(report.faults)
        unread += len(report.unread)
        _print(name, report, since, as_json=as_json)
        clean = report.is_clean and name not in wrong
        if report.upto and clean and not policies:
            done[name] = checked.CheckedPosition.at(report.upto)
    _remember(data_dir, done)
    _name_without_end(data_dir)
    raise typer.Exit(1 if differing else NOT_READ if unread else 0)


def _chosen(
    data_dir: Path, stored: list[str], wrong: Mapping[str, str], instance: str | None
) -> list[str]:
    """The read logs to recompute. Exits if there is none, or not the one that was named."""
    if not stored and not wrong:
        require_ledger(data_dir)
        fail(f"no read log under {data_dir / 'reads'}; name a gate's data directory")
    if instance is None:
        return stored
    if instance not in stored:
        known = ", ".join(stored)
        fail(f"no read log {instance!r} under {data_dir / 'reads'}: want one of {known}")
    return [instance]


def _derived(
    home: Path, name: str, rests_on: "ReplayGrounds", processes: int, since: int
) -> "ReplayReport":
    from functools import partial

    from sqlalchemy.exc import DBAPIError

    from gate.replay.replay import replay as derive
    from gate.replay.report import ReplayReport
    from ledger.follower import Follower
    from ledger.storage import snapshot
    from ledger.storage.database import DatabaseError

    opened = partial(Follower, home)
    run = partial(derive, opened, home, name, rests_on, processes=processes, since=since)
    try:
        return _with_progress(run, name)
    except OSError as error:
        return ReplayReport(unread=[f"{error.filename}: {error.strerror}"])
    except (DatabaseError, DBAPIError) as error:
        found = error if isinstance(error, DBAPIError) else error.__cause__
        if isinstance(found, DBAPIError):
            found = snapshot.explained(found)
        if isinstance(found, snapshot.DamagedDatabaseError):
            return ReplayReport(faults=[f"its database is damaged: {found}"])
        return ReplayReport(unread=[f"its database: {found or error}"])


def _remember(home: Path, done: dict[str, "CheckedPosition"]) -> None:
    from portal.data_directory import checked

    known = checked.load(home)
    if done != known.replay:
        with suppress(OSError):  # of a copy that cannot be written: the next run derives all again
            checked.save(home, checked.CheckedPositions(known.fsck, done))


def _chain(
    home: Path, names: Iterable[str], before: Mapping[str, "CheckedPosition"]
) -> dict[str, str]:
    """The read logs that are missing or were cut.

    By the anchors, by what was checked before, and by what the consent log opened. Those whose
    entries were removed after the declared time are not missing.
    """
    from contextlib import closing

    from gate.readlog.acts import ReadLogActs, instance_of, missing_text
    from ledger.errors import CorruptLogError
    from ledger.follower import Follower
    from portal.data_directory import checked

    try:
        with closing(Follower(home)) as ledger:
            anchors = checked.anchored(home, ledger.announced())
            acts = ReadLogActs(ledger)
            missing = {name: missing_text(log) for name, log in acts.missing(home).items()}
            removed = {instance_of(each) for each, _ in acts.rules().removed()}
    except CorruptLogError:
        anchors, removed, missing = {}, set(), {}  # each replay says what is wrong with the ledger
    wanted = [
        {name: at for name, at in each.items() if name not in removed} for each in (anchors, before)
    ]
    return missing | dict(checked.broken(home, names, wanted))


def _name_without_end(home: Path) -> None:
    """Say of which read logs nobody knows whether entries follow."""
    from contextlib import closing

    from gate.readlog.acts import ReadLogActs
    from ledger.errors import CorruptLogError
    from ledger.follower import Follower

    try:
        with closing(Follower(home)) as ledger:
            found = [*ReadLogActs(ledger).without_end(home)]
    except CorruptLogError:
        return  # each replay says what is wrong with the ledger
    for name, log in found:
        typer.echo(
            f"{name}: it has no end: no process here writes it, and it was not closed. Of its reads"
            f" after {log.last:%Y-%m-%dT%H:%MZ} ({log.size} entries anchored) some may not be"
            " published; `sovereign serve` closes it if it can",
            err=True,
        )


def _with_progress(run: Callable[..., "ReplayReport"], name: str) -> "ReplayReport":
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(f"replaying {name}", total=None)
        return run(progress=lambda done, every: bar.update(task, completed=done, total=every))


def _print(name: str, report: "ReplayReport", since: int, *, as_json: bool) -> None:
    if as_json:
        found = asdict(report)
        del found["upto"]
        about = {"log": name, "since": since, "entries": report.entries}
        typer.echo(json.dumps(about | found, ensure_ascii=False))
        return
    begin = f" since entry {since}" if since else ""
    typer.echo(
        f"{name}  {report.entries} entries{begin}, {report.derived} recomputed,"
        f" {report.unopened} cannot be opened, {len(report.differences)} differ"
    )
    for fault in report.faults:
        typer.echo(f"  cannot be verified: {fault}")
    for what in report.unread:
        typer.echo(f"  COULD NOT READ: {what}")
    for each in report.differences:
        typer.echo(f"  entry {each.entry}: logged {each.logged}; recomputed {each.derived}")
