"""The command line `sovereign`: commands about customers, logs and synthesis, and the servers."""

import signal
import socket
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from portal.commands import agents, company, contracts, gate, jobs, keys, plan, settings, steward
from portal.commands.customers import (
    archive,
    consent_record,
    erase,
    export_consent,
    import_consents,
    manifest,
    source_changes,
)
from portal.commands.errors import CommandGroup, fail, require_ledger
from portal.commands.log import (
    audit,
    backup,
    budget,
    maintenance,
    own_reads,
    replay,
    sampling,
    state,
    vault,
    witness,
)
from portal.commands.operations import doctor, standby
from portal.commands.options import HERE, DataDir, given, require_at_home
from portal.commands.synthesis import synth

if TYPE_CHECKING:
    from portal.app import Portal
    from portal.operations.job_results import JobResults
    from portal.operations.settings import Settings
    from portal.operations.wiring import Product


class _TerminatedError(BaseException):
    """The process received SIGTERM."""


app = typer.Typer(
    name="sovereign",
    cls=CommandGroup,
    help="Record customers' consent, enforce it at every read, and let anybody verify both.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,  # locals may hold personal data
)

app.add_typer(agents.app)
app.add_typer(archive.app)
app.add_typer(audit.app)
app.add_typer(backup.app)
app.add_typer(company.app)
app.add_typer(consent_record.app)
app.add_typer(erase.app)
app.add_typer(keys.app, name="keys")
app.add_typer(erase.holds, name="hold")
app.add_typer(jobs.app)
app.add_typer(plan.app)
app.add_typer(maintenance.app)
app.add_typer(import_consents.app)
app.add_typer(own_reads.app)
app.add_typer(settings.app)
app.add_typer(sampling.app)
app.add_typer(state.app)
app.add_typer(replay.app)
app.add_typer(budget.app, name="budget")
app.add_typer(contracts.app, name="contracts")
app.add_typer(doctor.app)
app.add_typer(source_changes.app, name="customers")
app.add_typer(gate.app, name="gate")
app.add_typer(export_consent.app)
app.add_typer(manifest.app, name="manifest")
app.add_typer(steward.app, name="steward")
app.add_typer(synth.app, name="synth")
app.add_typer(vault.app, name="vault")
app.add_typer(witness.app, name="witness")

Port = Annotated[
    int | None, typer.Option(help="Port that the portal listens on. Default: the setting port.")
]


@app.command()
def verify() -> None:
    """Verify a receipt offline: sovereign verify RECEIPT --key VKEY."""
    raise AssertionError("portal.cli calls ledger.verify for `verify` before it imports this")


@app.command()
def demo(
    data_dir: DataDir = HERE,
    once: Annotated[bool, typer.Option("--once", help="Play the story and exit.")] = False,
    port: Port = None,
) -> None:
    """Load 45,211 real bank customers, play the demonstration's story, then serve the portal."""
    from ledger import clock
    from ledger.tlog import atomic_file
    from portal.data_directory import migration
    from portal.demo.story import play
    from portal.jobs import schedule
    from portal.operations.settings import Settings

    settings = Settings(demo=True, data_dir=data_dir, **given(port=port))
    schedule.intervals(settings)  # raises before the story, which takes minutes
    if not once:
        _require_free(settings.host, settings.port)
    settings = settings.at_home()
    with _alone():
        if settings.data_dir.is_dir():  # a demonstration that is months old is shown, not doubted
            atomic_file.write(settings.data_dir / clock.CONFIRMED, clock.confirmation())
            for each in migration.migrate(settings.data_dir):
                typer.echo(f"{each.schema}: {each.before} -> {each.after}")
        product = play(settings)
    if not once:
        _serve(product)


@app.command()
def serve(
    data_dir: DataDir = HERE,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on. Default: the setting host.")
    ] = None,
    port: Port = None,
    folder: Annotated[
        Path | None,
        typer.Option("--company", help="Folder that defines the company: see `sovereign check`."),
    ] = None,
    trial: Annotated[
        bool,
        typer.Option("--trial", help="Let anybody sign in as any customer, and say so: to try it."),
    ] = False,
    publish: Annotated[
        bool,
        typer.Option("--apply", help="Publish changed contracts, even if consents end by them."),
    ] = False,
    stands_by: Annotated[
        bool,
        typer.Option("--standby", help="If another process serves it, wait and take over from it."),
    ] = False,
) -> None:
    """Serve the portal and the gate over a data directory, and run its jobs meanwhile.

    A data directory without a ledger gets a new one, if the source with the customers' rows exists.
    Contracts by which consents end are published with --apply only: see `sovereign plan`.
    With --standby, two of these processes take over from each other, as their proxy sees.
    Exit status 1: a key file is damaged. 2: the folder, the source or a setting cannot be used; a
    database is damaged or does not answer; or the log contradicts what was published or what
    witnesses have seen. Each says what to do, and nothing is served. 3: while it served, it lost
    the right to write, because another process may have taken it.
    """
    from ledger.witness import own_witnesses
    from portal.data_directory.inspection import require_readable
    from portal.operations.wiring import SecretError, open_product

    settings = _settings(data_dir, folder, host, port, trial=trial)

    def opened() -> "Product":
        require_readable(settings.data_dir)
        return open_product(settings, None if publish else plan.require_agreed)

    try:
        with _alone():
            product = standby.opened(settings.data_dir, opened) if stands_by else opened()
    except SecretError as error:
        fail(str(error), 1)
    if own_witnesses.exist(product.home):
        typer.echo(own_witnesses.NOT_INDEPENDENT)
    _serve(product)


def _settings(
    data_dir: Path, folder: Path | None, host: str | None, port: int | None, *, trial: bool
) -> "Settings":
    """What the flags, the environment and the file say; refused before anything is created."""
    from portal.jobs import schedule
    from portal.operations.settings import Settings

    chosen = None if folder is None else str(folder)
    settings = Settings(data_dir=data_dir, **given(company=chosen, host=host, port=port))
    if trial:
        settings = settings.model_copy(update={"demo": True})
    require_at_home(settings)
    if trial:
        settings = settings.at_home()
    if not settings.source and not settings.data_dir.is_dir():
        require_ledger(settings.data_dir)  # a first start needs a folder with customers.duckdb
    schedule.intervals(settings)
    _require_free(settings.host, settings.port)
    return settings


@contextmanager
def _alone() -> Iterator[None]:
    """Refuse to serve a data directory that another process writes. The error names it."""
    from ledger.storage.writer_lock import WriterBusyError

    try:
        yield
    except WriterBusyError as error:
        fail(str(error))


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """End the jobs before the process when it receives SIGTERM.

    The server raises the signal again as soon as it has answered the open requests; by default that
    would end the process at once.
    """

    def leave(_signal: int, _frame: object) -> None:
        raise _TerminatedError

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    except _TerminatedError:
        signal.signal(signal.SIGTERM, before)
        signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)


def _require_free(host: str, port: int) -> None:
    """End the command unless `host` and `port` can be listened on, before anything is created."""
    try:
        with socket.create_server((host, port)):
            pass
    except OSError as error:
        fail(
            f"cannot listen on {host}, port {port}: {error.strerror or error}."
            " Free the port, or set another host or port (sovereign.toml or SOVEREIGN_…)"
        )


def _metrics(
    product: "Product", web: "Portal", results: "JobResults"
) -> AbstractContextManager[None]:
    """Shows the metrics of the portal, if the settings say where."""
    from gate.http.app import ANSWERED
    from gate.http.serving.latency import Timed
    from ledger import clock
    from portal.operations.metrics import exposition, families

    if not product.settings.metrics_listen or web.gate is None:
        return nullcontext()
    timed = web.gate = Timed(web.gate, ANSWERED)
    parts = families.of_portal(product, timed, lambda: results.snapshot(clock.now()))
    return exposition.serving(product.settings, parts)


def _serve(product: "Product") -> None:
    from portal.app import create_app
    from portal.commands import forwarding, lease_watch
    from portal.data_directory import schemas
    from portal.jobs import schedule
    from portal.operations import publishing
    from portal.web import serving

    settings = product.settings
    schemas.begin_served(product.home)
    runner = schedule.runner(product)
    web = create_app(product, job_results=runner.results)
    shown = _metrics(product, web, runner.results)
    typer.echo(f"\nServing on http://localhost:{settings.port} – Ctrl-C stops it.")
    commands = forwarding.accepting(app, product.home, product.ledger)
    watch = lease_watch.watching(product.ledger)
    rest = publishing.exported_at_end(product.home, lambda: product.reads)
    with _ended_by_sigterm(), rest, commands, watch, shown, runner.running():
        serving.serve(web, settings, settings.port)
