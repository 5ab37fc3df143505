"""A server on this machine that answers what a test gives it, and records what it was asked."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer. `cut`: fewer bytes leave than its length says, then the connection ends."""

    status: int = 200
    body: bytes = b"{}"
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: bool = False


@dataclass(slots=True)
class Asked:
    """The requests that arrived: path, headers, body."""

    address: str = ""
    paths: list[str] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)


@contextmanager
def answering(reply: Callable[[int], Reply]) -> Iterator[Asked]:
    """Serve `reply(n)` to the n-th request, from 0."""
    asked, lock = Asked(), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            with lock:
                number = len(asked.paths)
                asked.paths.append(self.path)
                asked.headers.append({k.lower(): v for k, v in self.headers.items()})
                asked.bodies.append(body)
            self._send(reply(number))

        do_GET = do_POST  # noqa: N815 - http.server's name

        def _send(self, answer: Reply) -> None:
            self.send_response(answer.status)
            for name, value in {"Content-Type": JSON, **answer.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body) + answer.cut))
            self.end_headers()
            self.wfile.write(answer.body)
            self.close_connection = answer.cut

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        asked.address = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield asked
        finally:
            server.shutdown()
            thread.join()
