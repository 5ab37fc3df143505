"""Process of one witness of the demonstration: serves until its standard input ends.

    python -m ledger.witness.own_process KEY MEMORY PORT LOG_KEYS…

It prints the port that it listens on: PORT, or another one if that is taken.
"""

import asyncio
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import uvicorn

from ledger.tlog import cosignature
from ledger.witness import server, watched_log
from ledger.witness.witness import Witness

_HOST = "127.0.0.1"


def main(arguments: Sequence[str]) -> None:
    """Serve a witness. Ends with the process that started it, however that ends."""
    key, memory, port, *logs = arguments
    lines = [line for path in logs for line in Path(path).read_text("utf-8").splitlines()]
    signer = cosignature.signer(Path(key).read_text("ascii").strip())
    witness = Witness(Path(memory), signer, [watched_log.parse(line) for line in lines])
    with _listening(int(port)) as listening:
        print(listening.getsockname()[1], flush=True)  # noqa: T201 - whoever started it reads this
        asyncio.run(_serve(witness, listening))


def _listening(port: int) -> socket.socket:
    with suppress(OSError):
        return socket.create_server((_HOST, port))
    return socket.create_server((_HOST, 0))


async def _serve(witness: Witness, listening: socket.socket) -> None:
    config = uvicorn.Config(server.app(witness), http="h11", log_level="error", lifespan="off")
    served = uvicorn.Server(config)
    task = asyncio.create_task(served.serve([listening]))
    await asyncio.to_thread(sys.stdin.buffer.read)
    served.should_exit = True
    await task


if __name__ == "__main__":
    main(sys.argv[1:])
