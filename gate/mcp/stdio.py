"""Serves the tools over standard input and output, as a client of a running gate."""

from collections.abc import Callable

import httpx2
from mcp.server.stdio import stdio_server

from gate.mcp import server


async def serve(gate: str, token: Callable[[], str], version: str) -> None:
    """Serve until the input ends. `gate`: its URL. `token`: read again for each call.

    `token` may raise ToolRefusedError.
    """
    async with httpx2.AsyncClient(base_url=gate) as client:
        tools = server.build(client, lambda _: f"Bearer {token()}", version)
        async with stdio_server() as (read, write):
            await tools.run(read, write, tools.create_initialization_options())
