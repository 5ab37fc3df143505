"""`sovereign gate`: the gate in a process of its own, beside whoever writes the ledger."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="The gate alone, without the portal.")
WAIT_S = 30.0

DataDir = Annotated[
    Path | None, typer.Option("--data-dir", help="Where ledger, keys and data live.")
]


@app.command()
def serve(
    data_dir: DataDir = None,
    port: Annotated[int, typer.Option(help="Port of the gate.")] = 8100,
    wait_s: Annotated[
        float, typer.Option("--wait", help="Seconds to wait for the read log to be announced.")
    ] = WAIT_S,
) -> None:
    """Serve the gate alone: it follows the ledger of a data directory, and cannot write it.

    Exit status 1: it may not answer, because its read log was not announced, because other
    contracts are active, or because a key file is damaged.
    """
    import uvicorn

    from gate.http.app import GateApp
    from portal.operations.gate_process import (
        Healthy,
        LedgerWatch,
        NotAnnouncedError,
        OtherTermsError,
        open_gate,
    )
    from portal.operations.publishing import exporting, folder
    from portal.operations.settings import Settings
    from portal.operations.wiring import SecretError
    from portal.service.routes import authenticator

    settings = Settings()
    settings = settings.model_copy(update={"data_dir": data_dir} if data_dir else {})
    try:
        alone = open_gate(settings, wait_s=wait_s)
    except (NotAnnouncedError, OtherTermsError, SecretError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    who = authenticator(settings, alone.scenes.values(), None)
    typer.echo(f"The gate alone on http://localhost:{port} – Ctrl-C stops it.")
    watch = LedgerWatch(alone, settings.data_dir)
    with exporting(alone.reads, folder(settings.data_dir, alone.reads)), watch.looking():
        uvicorn.run(
            Healthy(alone.gate, GateApp(alone.gate, who)),
            host=settings.host,
            port=port,
            http="h11",  # it bounds the headers of a request: docs/adr/0005-servers.md
            log_level="warning",
            lifespan="off",
        )


@app.command()
def announce(data_dir: DataDir = None) -> None:
    """Announce the read logs of gates that wait, where no portal runs to do it."""
    from portal.operations import open_ledger
    from portal.operations.gate_process import announce as announced
    from portal.operations.settings import Settings

    settings = Settings()
    home = data_dir or settings.data_dir
    with open_ledger.writing(home, settings.origin) as ledger:
        typer.echo(f"{announced(ledger, home)} read logs announced")
