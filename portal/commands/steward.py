"""`sovereign steward`: what the company must do about changes of consent, and whom it told."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from portal.operations.wiring import Product
    from steward.cases.case import Case
    from steward.change_flow import ChangeFlow
    from steward.notify.masked_name import Naming
    from steward.notify.outbox import DeliveryResult, OutgoingNotice
    from synthetic.fitting.release import Release

app = typer.Typer(
    help="Changes of consent: cases, notices and their delivery.", no_args_is_help=True
)

EVERY_S = 2.0  # between rounds beside a portal
DataDir = Annotated[Path, typer.Option("--data-dir", help="Where ledger, keys and data live.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]


@app.command()
def run(
    data_dir: DataDir,
    every: Annotated[
        float | None, typer.Option(min=0.1, help="Go on, with so many seconds between rounds.")
    ] = None,
    gate: Annotated[
        str | None, typer.Option(help="Address of a gate that may be asked for names to mask.")
    ] = None,
    token: Annotated[
        str, typer.Option(envvar="SOVEREIGN_GATE_TOKEN", help="Customer care's token there.")
    ] = "",
) -> None:
    """Follow the consent log, open cases, deliver notices. Once, or on and on with --every.

    Runs beside the portal, which does the same by itself: whichever is first does the work. It
    reads the ledger and writes none of it. Without --gate customers are called *** in notices.
    """
    from gate.sdk.client import GateClient
    from steward.notify import masked_name, recipients
    from steward.notify.outbox import Outbox

    named = masked_name.over(GateClient(gate, token)) if gate else masked_name.unnamed
    flow, outbox = _beside(data_dir, named), Outbox(data_dir)
    while True:
        at = datetime.now(UTC)
        try:
            senders = recipients.load(data_dir).sender
        except recipients.RecipientError as error:
            raise typer.BadParameter(str(error)) from error
        changes = flow.run(at)
        done = outbox.deliver(senders, at)
        if every is None or changes or done.delivered or done.failed or done.dead:
            typer.echo(_told(changes, done))
        if every is None:
            return
        time.sleep(every)


@app.command()
def register(
    vkey: Annotated[str, typer.Argument(help="The service's verifier key, as keygen printed it.")],
    data_dir: DataDir,
) -> None:
    """Register the key with which a service signs its signals, in the consent log.

    Stop what writes the ledger first. Exit status 2: it is no such key, and nothing was recorded.
    """
    from portal.operations import open_ledger
    from steward.oversight.model_signals import SignalError, Signals

    ledger = open_ledger.reopen(data_dir)
    try:
        Signals(ledger).register(vkey, datetime.now(UTC).replace(microsecond=0))
    except SignalError as error:
        raise typer.BadParameter(str(error)) from error
    finally:
        ledger.close()


@app.command()
def cases(data_dir: DataDir, as_json: AsJson = False) -> None:
    """List the open cases, the most urgent first."""
    from steward.cases.case import Cases

    found = Cases(data_dir).open_cases()
    if as_json:
        for each in found:
            typer.echo(json.dumps(_case(each), ensure_ascii=False))
    else:
        columns = ("case", "scene", "kind", "count", "in force", "loss", "due", "status", "with")
        _table(columns, [_row(each) for each in found], "no open cases")


@app.command()
def notices(
    data_dir: DataDir,
    case: Annotated[
        int | None, typer.Option(help="Every notice of this case, with its words.")
    ] = None,
    dead: Annotated[bool, typer.Option("--dead", help="Only dead letters.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the notices that are not delivered: those that wait, and dead letters with the cause."""
    from steward.notify.outbox import Outbox

    outbox = Outbox(data_dir)
    found = outbox.dead() if dead else [*outbox.dead(), *outbox.waiting()]
    if case is not None:
        found = outbox.of(case)
    if as_json:
        for each in found:
            typer.echo(json.dumps(_letter(each), ensure_ascii=False))
        return
    columns = ("id", "case", "notice", "channel", "state", "attempts", "next", "error")
    _table(
        columns, [[str(part) for part in _letter(each).values()] for each in found], "no notices"
    )
    if case is not None:
        for each in found:
            typer.echo(_words(each))


@app.command()
def replay(
    data_dir: DataDir,
    ids: Annotated[
        list[str] | None, typer.Argument(help="Dead letters; none named: all of them.")
    ] = None,
    by: Annotated[str, typer.Option(help="Who says so; it is kept.")] = "operator",
) -> None:
    """Give dead letters their attempts anew. Exit status 1: a named one is not dead."""
    from steward.notify.outbox import Outbox

    done = Outbox(data_dir).replay(by, datetime.now(UTC), ids or None)
    typer.echo(f"{done} dead letters will be sent again")
    if ids and done != len(set(ids)):
        typer.echo(f"{len(set(ids)) - done} of those named are no dead letters", err=True)
        raise typer.Exit(1)


@contextmanager
def beside(product: "Product") -> Iterator[None]:
    """Follow and deliver in the background while the product is served."""
    done = Event()
    thread = Thread(target=_rounds, args=[product, done], name="steward", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def flow_of(product: "Product") -> "ChangeFlow":
    """The flow inside the product's own process: names are read through its gate."""
    from gate.state import snapshot
    from portal.operations.wiring import SNAPSHOT
    from steward.change_flow import ChangeFlow
    from steward.notify import masked_name, recipients
    from synthetic.fitting.release import Release

    def released(scene: str) -> "Release | None":
        found = product.gate.release(scene)
        return found if isinstance(found, Release) else None

    return ChangeFlow(
        product.home,
        product.ledger,
        product.scenes,
        product.ledger.origin,
        lambda role: recipients.load(product.home).channels(role),
        released,
        masked_name.through(product.gate),
        lambda: snapshot.load(product.home / SNAPSHOT, product.scenes, product.ledger),
    )


def _rounds(product: "Product", done: Event) -> None:
    """A round that fails is told, once, and tried again: what it would have done is in the log."""
    from portal.desk.office import Office
    from portal.operations import gate_process
    from portal.operations.publishing import Publisher
    from portal.operations.refits import Refits
    from steward.notify import recipients
    from steward.notify.outbox import Outbox

    office, refits = Office(product), Refits(product)
    publisher = Publisher(product.home, product.ledger, product.reads)
    made, told = None, ""
    while not done.wait(EVERY_S):
        at = datetime.now(UTC)
        try:
            made = made or (flow_of(product), Outbox(product.home))
            made[0].run(at)
            made[1].deliver(recipients.load(product.home).sender, at)
            office.check_hourly(at)
            gate_process.announce(product.ledger, product.home)
            publisher.round(at)
            refits.round(at)
        except Exception as error:  # noqa: BLE001 - whatever it was, serving goes on
            if told != (told := f"steward: {type(error).__name__}: {error}"):
                typer.echo(told, err=True)
        else:
            told = ""


def _beside(home: Path, named: "Naming") -> "ChangeFlow":
    """The flow in a process of its own, which may read the ledger and not write it."""
    from ledger.follower import Follower
    from ledger.tlog import signed_note
    from portal.operations.wiring import contracts
    from steward.change_flow import ChangeFlow
    from steward.notify import recipients
    from steward.release_follower import Released

    key = home / "keys" / "consent.vkey"
    if not key.exists():
        raise typer.BadParameter(f"no ledger under {home}: {key} is missing")
    follower = Follower(home)
    ledger = Released(follower)
    return ChangeFlow(
        home,
        ledger,
        contracts()[1],
        signed_note.vkey_parts(key.read_text("utf-8").partition("\n")[0])[0],
        lambda role: recipients.load(home).channels(role),
        ledger.release,
        named,
    )


def _told(changes: int, done: "DeliveryResult") -> str:
    return (
        f"{changes} changes; {done.delivered} notices delivered, {done.failed} will be tried again,"
        f" {done.dead} dead"
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


def _words(letter: "OutgoingNotice") -> str:
    """Title and body in every language."""
    texts = json.loads(letter.body)["data"]["text"]
    return "\n" + "\n\n".join(f"{each['title']}\n{each['body']}" for each in texts.values())


def _table(columns: tuple[str, ...], rows: list[list[str]], none: str) -> None:
    from rich.console import Console
    from rich.table import Column, Table

    if not rows:
        typer.echo(none)
        return
    table = Table(*(Column(each, overflow="fold") for each in columns), box=None)
    for row in rows:
        table.add_row(*row)
    Console().print(table)
