"""`sovereign mcp`: gives an agent the gate's data as tools of the Model Context Protocol."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

app = typer.Typer()

TOKEN = "SOVEREIGN_GATE_TOKEN"  # noqa: S105 - the name of a variable
MAX_TOKEN = 16_384  # bytes
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]+")  # RFC 6750, section 2.1


class _TokenError(Exception):
    """There is no access token, or it cannot be one."""


@app.command()
def mcp(
    gate: Annotated[
        str, typer.Option(help="Address of the gate: what `sovereign serve` serves.")
    ] = "http://localhost:8000",
    token_file: Annotated[
        Path | None,
        typer.Option(help=f"File with the agent's access token. Default: the variable {TOKEN}."),
    ] = None,
) -> None:
    """Serve an agent over standard input and output, as a client of a running gate.

    The agent gets marked data and may explain decisions and propose actions. It may do what its
    access token allows and no more. This command opens no data directory and holds no key. The file
    is read at each call, so a token may be renewed meanwhile.
    Exit status 2: no access token, or an address that is not one.
    """
    import asyncio
    from importlib.metadata import version

    from gate.mcp import stdio
    from portal.commands.errors import fail

    parts = urlsplit(gate)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        fail(f"--gate {gate!r} is not an http or https address; give the gate's")
    try:
        _token(token_file)
    except _TokenError as error:
        fail(str(error))
    asyncio.run(stdio.serve(gate, _renewed(token_file), version("customer-sovereignty")))


def _renewed(token_file: Path | None) -> Callable[[], str]:
    """Reads the token for a call. Raises ToolRefusedError."""
    from gate.mcp.service_api import ToolRefusedError

    def token() -> str:
        try:
            return _token(token_file)
        except _TokenError as error:
            raise ToolRefusedError("no-token", "No access token", str(error)) from error

    return token


def _token(token_file: Path | None) -> str:
    """The access token. Raises _TokenError, which does not repeat it."""
    where = TOKEN if token_file is None else str(token_file)
    if token_file is None:
        text = os.environ.get(TOKEN, "")
    else:
        try:
            with token_file.open("rb") as file:
                text = file.read(MAX_TOKEN + 1).decode("ascii", "replace").strip()
        except OSError as error:
            raise _TokenError(f"{where}: {error.strerror}; name a file with the token") from error
    if len(text) > MAX_TOKEN or not _TOKEN.fullmatch(text):
        found = "nothing" if not text else f"{len(text)} characters that are not one"
        raise _TokenError(
            f"want an access token in {where}, found {found}: set {TOKEN}, or name a file with"
            " --token-file"
        )
    return text
