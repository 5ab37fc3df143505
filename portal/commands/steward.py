"""`sovereign steward`: cases that changes of consent open, and the notices about them."""

import json
from contextlib import nullcontext
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ledger import clock
from portal.commands.errors import fail, require_ledger
from portal.commands.options import HERE, DataDir

if TYPE_CHECKING:
    from portal.jobs.cases import Following
    from portal.jobs.delivery import Deliveries
    from steward.cases.case import Case
    from steward.change_flow import ChangeFlow, Channels
    from steward.notify.masked_name import Naming
    from steward.notify.outbox import DeliveryResult, OutgoingNotice

app = typer.Typer(
    help="Changes of consent: cases, notices and their delivery.", no_args_is_help=True
)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")]


@app.command()
def run(
    data_dir: DataDir = HERE,
    every: Annotated[
        float | None,
        typer.Option(min=0.1, help="Keep running, so many seconds between rounds."),
    ] = None,
    gate: Annotated[
        str | None, typer.Option(help="Address of a gate to read customers' names from.")
    ] = None,
    token: Annotated[
        str,
        typer.Option(envvar="SOVEREIGN_GATE_TOKEN", help="Customer care's token at that gate."),
    ] = "",
) -> None:
    """Follow the consent log, open cases, deliver notices: once, or repeatedly with --every.

    The portal does the same by itself; both may run, and whichever is first does the work. The
    command reads the ledger and never writes it. Without --gate notices call customers ***.
    Exit status 2: no ledger in the folder, or `steward.toml` cannot be used and nothing was
    delivered.
    """
    from portal.jobs.cases import Following
    from portal.jobs.delivery import Deliveries
    from portal.operations import company_folder
    from sovereign_client import Client, Retries
    from steward.notify import masked_name
    from steward.notify.recipients import RecipientError

    desk = company_folder.of(require_ledger(data_dir)).roles.desk
    # A gate that does not answer costs a notice its name, and not the round its time.
    once = Retries(attempts=1)
    with Client(gate, token, retries=once) if gate else nullcontext() as asked:
        named = masked_name.over(asked, desk) if asked else masked_name.unnamed
        following = Following(data_dir, lambda channels: _flow(data_dir, named, channels))
        deliveries = Deliveries(data_dir)
        if every is not None:
            _run_on(following, deliveries, timedelta(seconds=every))
            return
        at = clock.now()
        changes = following.run(at)
        try:
            typer.echo(_summary(changes, deliveries.run(at)))
        except RecipientError as error:
            fail(f"{changes} changes; no notices delivered\n{error}")


@app.command()
def register(
    vkey: Annotated[str, typer.Argument(help="The service's verifier key, as `keygen` prints it.")],
    data_dir: DataDir = HERE,
) -> None:
    """Register the key with which a service signs its signals, in the consent log.

    Exit status 2: VKEY is not a verifier key, or there is no
    ledger in the folder; nothing was recorded.
    """
    from ledger.tlog import signed_note
    from portal.operations import open_ledger
    from steward.oversight.model_signals import SignalError, Signals

    require_ledger(data_dir)
    signed_note.vkey_parts(vkey)  # raises NoteError before the ledger is opened
    try:
        with open_ledger.writing(data_dir) as ledger:
            Signals(ledger).register(vkey, clock.now())
    except SignalError as error:
        fail(str(error))


@app.command()
def cases(data_dir: DataDir = HERE, as_json: AsJson = False) -> None:
    """List the open cases, the most urgent first."""
    from steward.cases.case import Cases

    cases = Cases(require_ledger(data_dir)).open_cases()
    if as_json:
        for each in cases:
            typer.echo(json.dumps(_case(each), ensure_ascii=False))
    else:
        columns = ("case", "scene", "kind", "count", "fallback", "loss", "due", "status", "with")
        _table(columns, [_row(each) for each in cases], "no open cases")


@app.command()
def notices(
    data_dir: DataDir = HERE,
    case: Annotated[
        int | None, typer.Option(help="List every notice of this case, with its text.")
    ] = None,
    dead: Annotated[bool, typer.Option("--dead", help="List failed notices only.")] = False,
    as_json: AsJson = False,
) -> None:
    """List undelivered notices: those that wait, and failed ones with the cause."""
    from steward.notify.outbox import Outbox

    outbox = Outbox(require_ledger(data_dir))
    notices = outbox.dead() if dead else [*outbox.dead(), *outbox.waiting()]
    if case is not None:
        notices = outbox.of(case)
    if as_json:
        for each in notices:
            typer.echo(json.dumps(_letter(each), ensure_ascii=False))
        return
    columns = ("id", "case", "notice", "channel", "state", "attempts", "next", "error")
    _table(
        columns, [[str(part) for part in _letter(each).values()] for each in notices], "no notices"
    )
    if case is not None:
        for each in notices:
            typer.echo(_texts(each))


@app.command()
def replay(
    data_dir: DataDir = HERE,
    ids: Annotated[
        list[str] | None, typer.Argument(help="Ids of failed notices. Default: all of them.")
    ] = None,
    by: Annotated[str, typer.Option(help="Who orders it; recorded with the notices.")] = "operator",
) -> None:
    """Retry failed notices. Exit status 1: some of the given ids are not failed notices."""
    from steward.notify.outbox import Outbox

    done = Outbox(require_ledger(data_dir)).replay(by, clock.now(), ids or None)
    typer.echo(f"{done} failed notices will be sent again")
    if ids and done != len(set(ids)):
        missing = len(set(ids)) - done
        fail(f"{missing} of the given ids are not failed notices: list them with --dead", 1)


def _run_on(following: "Following", deliveries: "Deliveries", every: timedelta) -> None:
    """Run both until the process is stopped, each as a job of its own, and print what they do."""
    from portal.jobs import cases, delivery
    from portal.jobs.runner import Job, Runner
    from portal.operations.job_results import JobResults

    def follow(at: datetime) -> None:
        if changes := following.run(at):
            typer.echo(f"{changes} changes")

    def deliver(at: datetime) -> None:
        done = deliveries.run(at)
        if done.delivered or done.failed or done.dead:
            typer.echo(_delivered(done))

    wait = timedelta(minutes=1)
    jobs = [
        Job(cases.NAME, every, follow, max_retry=wait),
        Job(delivery.NAME, every, deliver, max_retry=wait),
    ]
    with Runner(jobs, JobResults(None)).running():
        Event().wait()


def _flow(home: Path, named: "Naming", channels: "Channels") -> "ChangeFlow":
    """The change flow of a process that may read the ledger and not write it."""
    from ledger.follower import Follower
    from ledger.tlog import signed_note
    from portal.operations import company_folder
    from steward.change_flow import ChangeFlow
    from steward.language import catalogue
    from steward.release_follower import Released

    key, company = home / "keys" / "consent.vkey", company_folder.of(home)
    follower = Follower(home)
    ledger = Released(follower)
    return ChangeFlow(
        home,
        ledger,
        company.scenes,
        signed_note.vkey_parts(key.read_text("utf-8").partition("\n")[0])[0],
        channels,
        ledger.release,
        named,
        languages=catalogue.load(company),
    )


def _summary(changes: int, done: "DeliveryResult") -> str:
    return f"{changes} changes; {_delivered(done)}"


def _delivered(done: "DeliveryResult") -> str:
    return (
        f"{done.delivered} notices delivered, {done.failed} will be tried again, {done.dead} failed"
    )


def _case(case: "Case") -> dict[str, Any]:
    loss = {"mean": case.loss.mean, "p95": case.loss.p95} if case.loss else None
    return {
        "case": case.id,
        "scene": case.scene,
        "kind": case.kind,
        "count": case.count,
        "customers": [*case.customers],
        "items": [*case.fields],
        "fallback": case.fallback,
        "loss": loss,
        "opened": case.opened.isoformat(),
        "due": case.due.isoformat(),
        "status": case.status,
        "responsible": case.responsible,
    }


def _row(case: "Case") -> list[str]:
    loss = f"{case.loss.mean:.2%}, p95 {case.loss.p95:.2%}" if case.loss else "not measured"
    due = f"{case.due:%Y-%m-%d %H:%M}"
    parts = [case.id, case.scene, case.kind, case.count, case.fallback, loss, due, case.status]
    return [*map(str, parts), case.responsible]


def _letter(letter: "OutgoingNotice") -> dict[str, Any]:
    return {
        "id": letter.id,
        "case": letter.case,
        "notice": letter.type,
        "channel": letter.channel,
        "state": letter.state,
        "attempts": letter.attempts,
        "next": letter.next_at.isoformat(),
        "error": letter.error,
    }


def _texts(letter: "OutgoingNotice") -> str:
    """Title and body of a notice in every language."""
    texts = json.loads(letter.body)["data"]["text"]
    return "\n" + "\n\n".join(f"{each['title']}\n{each['body']}" for each in texts.values())


def _table(columns: tuple[str, ...], rows: list[list[str]], if_empty: str) -> None:
    from rich.console import Console
    from rich.table import Column, Table

    if not rows:
        typer.echo(if_empty)
        return
    table = Table(*(Column(each, overflow="fold") for each in columns), box=None)
    for row in rows:
        table.add_row(*row)
    Console().print(table)
