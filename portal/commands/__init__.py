"""The command line `sovereign`: commands about customers, logs and synthesis, and the servers."""

import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from portal.commands import contracts, gate, jobs, steward
from portal.commands.customers import archive, consent_record, erase, import_consents, manifest
from portal.commands.errors import CommandGroup, fail, require_ledger
from portal.commands.log import audit, backup, budget, maintenance, replay, state, vault, witness
from portal.commands.synthesis import synth

if TYPE_CHECKING:
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

app.add_typer(archive.app)
app.add_typer(audit.app)
app.add_typer(backup.app)
app.add_typer(consent_record.app)
app.add_typer(erase.app)
app.add_typer(erase.holds, name="hold")
app.add_typer(jobs.app)
app.add_typer(maintenance.app)
app.add_typer(import_consents.app)
app.add_typer(state.app)
app.add_typer(replay.app)
app.add_typer(budget.app, name="budget")
app.add_typer(contracts.app, name="contracts")
app.add_typer(gate.app, name="gate")
app.add_typer(manifest.app, name="manifest")
app.add_typer(steward.app, name="steward")
app.add_typer(synth.app, name="synth")
app.add_typer(vault.app, name="vault")
app.add_typer(witness.app, name="witness")

DataDir = Annotated[
    Path | None, typer.Option("--data-dir", help="Folder with the ledger, the keys and the data.")
]


@app.command()
def verify() -> None:
    """Verify a receipt offline: sovereign verify RECEIPT --key VKEY."""
    raise AssertionError("portal.cli calls ledger.verify for `verify` before it imports this")


@app.command()
def demo(
    data_dir: DataDir = None,
    once: Annotated[bool, typer.Option("--once", help="Play the story and exit.")] = False,
    port: Annotated[int, typer.Option(help="Port that the portal listens on.")] = 8000,
) -> None:
    """Load 45,211 real bank customers, play the demonstration's story, then serve the portal."""
    from portal.demo.story import play
    from portal.jobs import schedule
    from portal.operations.settings import Settings

    settings = Settings(demo=True, port=port)
    schedule.intervals(settings)  # raises before the story, which takes minutes
    if not once:
        _require_free(settings.host, settings.port)
    with _alone():
        product = play(_with(settings, data_dir).at_home())
    if not once:
        _serve(product)


@app.command()
def serve(data_dir: DataDir = None) -> None:
    """Serve the portal and the gate over a data directory, and run its jobs meanwhile.

    A data directory without a ledger gets a new one, if the source with the customers' rows exists.
    Exit status 1: a key file is damaged. 2: the folder, the source or a setting cannot be used; a
    database is damaged; or the log contradicts what was published or what witnesses have seen. Each
    says what to do, and nothing is served.
    """
    from portal.data_directory.inspection import require_readable
    from portal.jobs import schedule
    from portal.operations.settings import Settings
    from portal.operations.wiring import SecretError, open_product

    settings = _with(Settings(), data_dir)
    if not settings.source and not settings.data_dir.is_dir():
        require_ledger(settings.data_dir)  # a first start needs a folder with customers.duckdb
    schedule.intervals(settings)  # raises before anything is created
    _require_free(settings.host, settings.port)
    try:
        with _alone():
            require_readable(settings.data_dir)
            product = open_product(settings)
    except SecretError as error:
        fail(str(error), 1)
    _serve(product)


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


def _with(settings: "Settings", data_dir: Path | None) -> "Settings":
    return settings.model_copy(update={"data_dir": data_dir} if data_dir else {})


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


def _serve(product: "Product") -> None:
    import uvicorn

    from portal.app import create_app, settled
    from portal.commands import forwarding
    from portal.jobs import schedule

    settings = product.settings
    runner = schedule.runner(product)
    web = create_app(product, job_results=runner.results)
    typer.echo(f"\nServing on http://localhost:{settings.port} – Ctrl-C stops it.")
    commands = forwarding.accepting(app, product.home, product.ledger)
    with _ended_by_sigterm(), commands, runner.running(), settled():
        uvicorn.run(
            web,
            host=settings.host,
            port=settings.port,
            http="h11",  # it bounds the headers of a request: docs/adr/0005-servers.md
            log_level="warning",
        )
