"""Ends queries of a server that does not answer at all.

`statement_timeout` is kept by the server, so one that hangs, or that no packet reaches any more,
keeps its clients waiting for ever. Here the client ends the connection: the query fails.
"""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from threading import Event, Lock, Thread
from time import monotonic
from typing import Any

LOOK_S = 0.25


class QueryDeadlines:
    """The queries that run now. Thread-safe; has a thread while there are any."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._numbers = count()
        self._running: dict[int, tuple[float, int]] = {}  # query -> its deadline, its connection
        self._lock = Lock()
        self._thread: Thread | None = None

    @contextmanager
    def within(self, connection: Any) -> Iterator[None]:
        """End the psycopg connection unless the context is left in time."""
        number = next(self._numbers)
        with self._lock:
            self._running[number] = monotonic() + self._seconds, connection.fileno()
            if self._thread is None:
                self._thread = Thread(target=self._look, name="source-deadlines", daemon=True)
                self._thread.start()
        try:
            yield
        finally:
            with self._lock:
                self._running.pop(number, None)

    def _look(self) -> None:
        pause = Event()
        while True:
            pause.wait(LOOK_S)
            with self._lock:
                if not self._running:
                    self._thread = None
                    return
                now = monotonic()
                late = [each for each, (until, _) in self._running.items() if until < now]
                for each in late:
                    _end(self._running.pop(each)[1])


def _end(descriptor: int) -> None:
    """Shut a connection down; its owner, who waits for an answer, closes it."""
    with suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as connection:
        connection.shutdown(socket.SHUT_RDWR)
