"""`sovereign gate`: serve the gate in a process of its own, next to the ledger's writer."""

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Annotated

import typer

from portal.commands.options import HERE, DataDir, given, require_at_home

if TYPE_CHECKING:
    from gate.http.serving.latency import App
    from portal.operations.gate_process import Standalone
    from portal.operations.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Serve the gate without the portal.")
WAIT_S = 30.0


@app.command()
def serve(
    data_dir: DataDir = HERE,
    port: Annotated[
        int | None, typer.Option(help="Port that the gate listens on. Default: the setting.")
    ] = None,
    wait_s: Annotated[
        float, typer.Option("--wait", help="Seconds to wait for the read log to be announced.")
    ] = WAIT_S,
) -> None:
    """Serve the gate alone. It follows the ledger of a data directory and cannot write to it.

    Exit status 1: the gate may not answer, because its read log was not announced, because other
    contracts are active, or because a key file is damaged. 2: the folder, the source or a setting
    cannot be used.
    """
    from portal.commands.errors import fail, require_ledger
    from portal.data_directory.inspection import require_readable
    from portal.operations.gate_process import NotAnnouncedError, OtherTermsError, open_gate
    from portal.operations.settings import Settings
    from portal.operations.wiring import SecretError

    settings = Settings(data_dir=data_dir, **given(gate_port=port))
    require_at_home(settings)
    require_readable(require_ledger(settings.data_dir))
    try:
        alone = open_gate(settings, wait_s=wait_s)
    except (NotAnnouncedError, OtherTermsError, SecretError) as error:
        fail(str(error), 1)
    _serve(alone, settings, settings.gate_port)


def _serve(alone: "Standalone", settings: "Settings", port: int) -> None:
    """Answer requests until the process is stopped, and publish the read log meanwhile."""
    from datetime import timedelta
    from functools import partial

    from gate.http.app import GateApp
    from portal.operations.gate_process import Healthy, LedgerWatch
    from portal.operations.publishing import exporting, folder
    from portal.operations.readiness import checks
    from portal.operations.readiness.probes import Probed, Probes
    from portal.service.routes import askers, authenticator
    from portal.web import serving

    who = authenticator(settings, askers(alone.gate), None)
    typer.echo(f"The gate serves on http://localhost:{port} – Ctrl-C stops it.")
    watch = LedgerWatch(alone, settings.data_dir)
    into = partial(folder, settings.data_dir)
    served = GateApp(alone.gate, who, feed=alone.changes, places=settings.max_requests)
    app, shown = _measured(alone, settings, served)
    with exporting(lambda: alone.reads, into), watch.looking(), shown:
        oldest = timedelta(minutes=settings.publication_minutes)
        probes = Probes(checks.of(alone.gate, settings.data_dir, oldest))
        healthy = Healthy(alone.gate, app)
        serving.serve(Probed(healthy, probes), settings, port, lifespan="off")


def _measured(
    alone: "Standalone", settings: "Settings", app: "App"
) -> tuple["App", AbstractContextManager[None]]:
    """The application, measured if the settings say where metrics go, and what shows them."""
    from functools import partial

    from gate.http.app import ANSWERED
    from gate.http.serving.latency import Timed
    from portal.operations import job_results
    from portal.operations.metrics import exposition, families

    if not settings.metrics_listen:
        return app, nullcontext()
    timed = Timed(app, ANSWERED)
    jobs = partial(job_results.load, settings.data_dir)
    parts = families.of_gate(alone.gate, alone.follower, settings, timed, jobs)
    return timed, exposition.serving(settings, parts)


@app.command()
def announce(data_dir: DataDir = HERE) -> None:
    """Announce the read logs of gates that wait for it, where no portal does so.

    Exit status 2: no ledger in the folder, or a gate's request
    cannot be read.
    """
    from portal.commands.errors import fail, require_ledger
    from portal.operations import open_ledger
    from portal.operations.gate_process import OpeningFileError
    from portal.operations.gate_process import announce as announced

    home = require_ledger(data_dir)
    with open_ledger.writing(home) as ledger:
        try:
            typer.echo(f"{announced(ledger, home)} read logs announced")
        except OpeningFileError as error:
            fail(str(error))
