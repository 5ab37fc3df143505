"""`sovereign witness`: run a witness (C2SP tlog-witness) of another party's log."""

from pathlib import Path
from typing import Annotated

import typer

from portal.commands.errors import explained, fail

app = typer.Typer(help="Run a witness: record a log's checkpoints, cosign those that extend them.")

Key = Annotated[Path, typer.Option("--key", help="The witness's private key.")]


@app.command()
def keygen(
    name: Annotated[str, typer.Argument(help="A name without spaces, like witness.example/w1.")],
    key: Key,
) -> None:
    """Make a witness key: write the private part to a file, print the public part.

    Exit status 2: the name cannot be used, or the file exists; nothing was written.
    """
    from ledger.tlog import atomic_file, cosignature, signed_note

    signed_note.require_name(name)
    made = cosignature.generate(name)
    try:
        atomic_file.create(key, f"{made.secret()}\n".encode(), atomic_file.OWNER_ONLY)
    except FileExistsError:
        fail(f"{key} exists already: name another file, or use that key")
    typer.echo(str(made.key))


@app.command()
def serve(
    key: Key,
    log: Annotated[
        list[Path],
        typer.Option(
            "--log",
            help="Verifier keys of logs, one a line; before a key of another name, its origin.",
        ),
    ],
    memory: Annotated[Path, typer.Option(help="File with cosigned checkpoints.")] = Path(
        "witness.sqlite"
    ),
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8100,
) -> None:
    """Serve POST /add-checkpoint of C2SP tlog-witness until interrupted.

    Exit status 2: a key file cannot be used, and nothing was served.
    """
    import uvicorn

    from ledger.storage.database import DatabaseError, SchemaVersionError
    from ledger.tlog import cosignature
    from ledger.tlog.cosignature import CosignatureError
    from ledger.tlog.signed_note import NoteError
    from ledger.witness import server, watched_log
    from ledger.witness.witness import Witness

    try:
        lines = [line for path in log for line in path.read_text("utf-8").splitlines()]
        signer = cosignature.signer(key.read_text("ascii").strip())
        witness = Witness(memory, signer, [watched_log.parse(line) for line in lines])
    except (OSError, NoteError, CosignatureError, DatabaseError, SchemaVersionError) as error:
        fail(f"not serving: {explained(error) or error}")
    typer.echo(f"{signer.key}\nserving on http://{host}:{port}/add-checkpoint – Ctrl-C stops it.")
    uvicorn.run(server.app(witness), host=host, port=port, http="h11", log_level="warning")
