"""Runs an ASGI application: accepts connections as far as there is room, and ends slow ones."""

import asyncio
import errno
import logging
import resource
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import uvicorn

from gate.http.serving.bounds import Lane, Lanes, Limits, OpenConnections
from gate.http.serving.protocol import ServedConnection

BACKLOG = 2048  # connections that the operating system holds until they are accepted
ACCEPTED = 16  # connections accepted in one round of the loop, which closes others for them
PAUSE_S = 0.1  # without descriptors, until it is tried again
LOOK_S = 0.5  # between looks at connections that wait
QUIET_S = 1.0  # between two messages about one shortage
_SHORT = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_LOG = logging.getLogger("sovereign")
START_FAILED = 3  # exit status, as uvicorn's


def run(
    app: Any, host: str, port: int, limits: Limits, lanes: Lanes | None = None, **more: Any
) -> None:
    """Serve until the process is told to end. `more`: settings of uvicorn.

    Ends the process with status 1 if it cannot listen, 3 if the application does not start.
    """
    config = uvicorn.Config(
        app, host=host, port=port, log_level="warning", access_log=False, **more
    )
    server = BoundedServer(config, limits, lanes or Lanes(Lane(limits.requests)))
    with suppress(KeyboardInterrupt):
        server.run()
    if not server.started:
        sys.exit(START_FAILED)


class BoundedServer(uvicorn.Server):
    """uvicorn's server, which accepts by itself. `servers` are its listening sockets."""

    def __init__(self, config: uvicorn.Config, limits: Limits, lanes: Lanes) -> None:
        super().__init__(config)
        self._lanes = lanes
        descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.open = OpenConnections(limits, descriptors)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            sys.exit(START_FAILED)
        loop = asyncio.get_running_loop()
        if sockets is None:
            try:
                sockets = await _listening(loop, self.config.host, self.config.port)
            except OSError as error:
                _LOG.error("cannot listen on %s: %s", self.config.host, error)
                await self.lifespan.shutdown()
                sys.exit(1)
        self.servers = [_Listener(loop, each, self._connect) for each in sockets]  # type: ignore[misc] # what uvicorn asks of one
        loop.call_later(LOOK_S, self._look, loop)
        self.started = True

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self.open.sweep(loop.time())
        if not self.should_exit:
            loop.call_later(LOOK_S, self._look, loop)

    async def _connect(self, client: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.connect_accepted_socket(self._protocol, client)
        except OSError:
            client.close()  # it left again

    def _protocol(self) -> ServedConnection:
        return ServedConnection(
            self.open, self._lanes, self.config, self.server_state, self.lifespan.state
        )


async def _listening(loop: asyncio.AbstractEventLoop, host: str, port: int) -> list[socket.socket]:
    """Sockets that listen on each address of the host. Raises OSError."""
    found = await loop.getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    sockets: list[socket.socket] = []
    try:
        for family, kind, protocol, _, address in dict.fromkeys(found):
            each = socket.socket(family, kind, protocol)
            sockets.append(each)
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                each.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            each.bind(address)
    except BaseException:
        for each in sockets:
            each.close()
        raise
    return sockets


class _Listener:
    """A listening socket. When the process is out of descriptors it pauses, and says so rarely."""

    def __init__(self, loop: asyncio.AbstractEventLoop, taken: socket.socket, connect: Any) -> None:
        self._loop, self._socket, self._connect = loop, taken, connect
        self._tasks = set[asyncio.Task[None]]()
        self._is_closed, self._quiet_until = False, 0.0
        taken.setblocking(False)
        taken.listen(BACKLOG)
        self._start()

    @property
    def sockets(self) -> Sequence[socket.socket]:
        return () if self._is_closed else (self._socket,)

    def close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()

    async def wait_closed(self) -> None:
        """Nothing waits: what was accepted is a connection of the server."""

    def _start(self) -> None:
        if not self._is_closed:
            self._loop.add_reader(self._socket.fileno(), self._accept)

    def _accept(self) -> None:
        for _ in range(ACCEPTED - len(self._tasks)):
            try:
                client, _address = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in _SHORT:
                    raise
                self._pause(error)
                return
            client.setblocking(False)
            task = self._loop.create_task(self._connect(client))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _pause(self, error: OSError) -> None:
        """Accept nothing for a moment: connections that end free descriptors."""
        self._loop.remove_reader(self._socket.fileno())
        self._loop.call_later(PAUSE_S, self._start)
        if self._loop.time() >= self._quiet_until:
            self._quiet_until = self._loop.time() + QUIET_S
            _LOG.warning("no connection is accepted for now: %s", error.strerror)
