"""Commands of the CRM: python -m examples.crm --help."""

import json
import os
import signal
from pathlib import Path
from threading import Event, Thread
from typing import Annotated, Any

import typer

from examples.crm import company, contacts, database, intake, leads, support
from examples.crm.gate_calls import Desk
from examples.crm.mailbox import Mailbox
from examples.crm.work import InteractionWork

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
Folder = Annotated[Path, typer.Option(help="Folder of the CRM.", exists=True, file_okay=False)]
Gate = Annotated[str, typer.Option(help="URL of the gate.")]
HERE = "http://localhost:8000"


@app.command()
def prepare(folder: Folder, customers: int = 400) -> None:
    """Make the company and its customers in an empty folder."""
    typer.echo(company.make(folder, customers))


@app.command()
def serve(folder: Folder, port: int = 8100) -> None:
    """Take interactions in, and work on them in the background."""
    import uvicorn

    mailbox, stop = Mailbox(folder), Event()
    work = InteractionWork(contacts.rule_of(folder / "company"))

    def until_stopped() -> None:
        try:
            mailbox.work_until(stop, work)
        finally:
            if not stop.is_set():  # by a defect: a process that only acknowledges is of no use
                signal.raise_signal(signal.SIGTERM)

    worker = Thread(target=until_stopped, name="worker", daemon=True)
    application = intake.application(mailbox, intake.secret_of(folder))
    worker.start()
    try:
        uvicorn.run(application, host="127.0.0.1", port=port, log_level="warning")
    finally:
        stop.set()
        worker.join()


@app.command()
def score(folder: Folder, gate: Gate = HERE) -> None:
    """Score every customer, and print the leads: score, confidence, what was not personal."""
    from sovereign_client import Client

    with Client(gate, _token(leads.SERVICE)) as client:
        scores = leads.run(folder, client, Desk(gate, _token(leads.SERVICE)), company.ids(folder))
    for customer, found in sorted(scores.items(), key=lambda each: -each[1].score):
        if found.score:
            missing = ", ".join(found.missing) or "-"
            typer.echo(f"{customer}  {found.score:.1f}  {found.confidence:.2f}  {missing}")
    typer.echo(f"{len(scores)} scored, {sum(bool(s.used) for s in scores.values())} personal")


@app.command("support")
def support_run(folder: Folder, gate: Gate = HERE) -> None:
    """Hand drafts in for review, send what was approved, and print the cases by state."""
    typer.echo(json.dumps(support.run(folder, Desk(gate, _token(support.SERVICE)))))


@app.command()
def agent(role: str, folder: Folder, gate: Gate = HERE) -> None:
    """Answer open messages as `support` or `sales`, and print the conversations by state."""
    import asyncio

    from examples.crm.agents import answering
    from examples.crm.agents.roles import ROLES

    if role not in ROLES:
        raise typer.BadParameter(f"want {' or '.join(ROLES)}, got {role!r}")
    known = ROLES[role]
    states = asyncio.run(answering.run(folder, gate, _token(known.service), known, _model()))
    typer.echo(json.dumps(states))


@app.command()
def train(folder: Folder, manifest: Path, gate: Gate = HERE) -> None:
    """Train the churn model on the customers of a manifest that was just made."""
    from examples.crm.churn import runs
    from sovereign_client import Client

    with Client(gate, _token(runs.SERVICE)) as client:
        made = runs.train(folder, client, manifest)
    typer.echo(f"{made.model}: {made.listed} listed, trained on {made.trained_on}")


@app.command()
def evaluate(
    folder: Folder,
    key: Annotated[Path, typer.Option(help="Signing key, by `sovereign keygen`.")],
    gate: Gate = HERE,
    every: Annotated[float, typer.Option(help="Seconds between two runs; 0: one run.")] = 0,
) -> None:
    """Report the churn model's accuracy, signed, once or on a schedule."""
    import time

    from examples.crm.churn import runs
    from sovereign_client import Client

    desk = Desk(gate, _token(runs.SERVICE))
    with Client(gate, desk.token) as client:
        while True:
            accuracy = runs.evaluate(folder, client, desk, key)
            typer.echo(f"accuracy {accuracy / 100:.2f} %")
            if every <= 0:
                return
            time.sleep(every)


@app.command()
def statistics(folder: Folder, gate: Gate = HERE) -> None:
    """Print monthly trends and segments of everybody, with intervals and the true errors."""
    from examples.crm.analysis import segments, trends
    from sovereign_client import Client

    totals = trends.months(folder, Desk(gate, _token(trends.SERVICE)))
    for line in trends.lines(totals):
        typer.echo(line)
    with Client(gate, _token(segments.SERVICE)) as client:
        for line in segments.lines(segments.read(folder, client)):
            typer.echo(line)


@app.command()
def conflicts(folder: Folder) -> None:
    """Print telephone numbers that two systems wrote at once, and which one counts."""
    rule = contacts.rule_of(folder / "company")
    query = (
        "SELECT c.customer, c.version, c.winner, w.version AS written, w.system, w.seen"
        " FROM conflict c JOIN contact_write w ON w.customer = c.customer AND w.item = c.item"
        " AND w.version <= c.version ORDER BY c.customer, c.version, w.version"
    )
    for row in _rows(folder, query):
        counts = "counts" if row["written"] == row["winner"] else ""
        if row["winner"] is None:
            counts = "open: write the right number with the last version"
        typer.echo(
            f"{row['customer']}  conflict at version {row['version']}: version {row['written']}"
            f" by {row['system']}, who saw {row['seen']}  {counts}".rstrip()
        )
    typer.echo(f"rule of the contract: {' before '.join(rule) or 'none: a person decides'}")


@app.command()
def day(customers: int = 36) -> None:
    """Play a short day in a fresh folder, and check what is claimed of it."""
    from tempfile import mkdtemp

    from examples.crm import day as days

    folder = Path(mkdtemp(prefix="crm-"))
    typer.echo(f"in {folder}")
    raise typer.Exit(0 if days.play(folder, customers) else 1)


@app.command()
def load(
    rate: Annotated[float, typer.Option(min=0.1, help="Withdrawals a second.")] = 30,
    seconds: Annotated[float, typer.Option(min=1)] = 120,
) -> None:
    """Withdraw at a rate while all services run, in a fresh folder; 0 only if nothing failed."""
    from tempfile import mkdtemp

    from examples.crm.load import withdrawals

    folder = Path(mkdtemp(prefix="crm-"))
    typer.echo(f"in {folder}")
    counts = withdrawals.play(folder, rate, seconds)
    for line in counts.lines():
        typer.echo(line)
    raise typer.Exit(0 if counts.held else 1)


@app.command()
def failures(folder: Folder) -> None:
    """Print the deliveries that could not be worked on, and why."""
    for row in _rows(folder, "SELECT id, fault FROM worked WHERE fault IS NOT NULL ORDER BY id"):
        typer.echo(f"{row['id']}  {row['fault']}")


def _rows(folder: Path, query: str) -> list[Any]:
    with database.reading(folder) as connection:
        return connection.execute(query).fetchall()


def _model() -> Any:
    """The endpoint that the environment names (agents/endpoint.py); else the one made of rules."""
    from examples.crm.agents.endpoint import ModelEndpoint
    from examples.crm.agents.rules import Rules

    place, name = os.environ.get("CRM_MODEL_URL"), os.environ.get("CRM_MODEL")
    if place is None and name is None:
        return Rules()
    if not place or not name:
        raise typer.BadParameter("set CRM_MODEL_URL and CRM_MODEL, or neither")
    return ModelEndpoint(place, name, os.environ.get("CRM_MODEL_KEY"))


def _token(service: str) -> str:
    """From the environment, e.g. CRM_KEY_LEAD_DESK; else that of a trial."""
    return os.environ.get(f"CRM_KEY_{service.replace('-', '_').upper()}", f"demo-{service}")


if __name__ == "__main__":
    app()
