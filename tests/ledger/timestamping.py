"""An OpenSSL timestamp authority (`openssl ts`), served over HTTP."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

from tests.ledger.test_timestamp import Openssl


@contextmanager
def serving(authority: Openssl) -> Iterator[str]:
    """The address of the authority."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = self.rfile.read(int(self.headers["content-length"]))
            asked = self.headers["content-type"] == "application/timestamp-query"
            self.send_response(200 if asked else 415)
            self.end_headers()
            self.wfile.write(authority(query))

        def log_message(self, *args: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/tsa"
        finally:
            server.shutdown()
            thread.join()
