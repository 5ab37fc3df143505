"""What a test needs to reach a server on this machine as a browser does."""

import socket
import ssl

BROWSER = {"Sec-Fetch-Site": "same-origin", "Accept": "text/html", "Accept-Language": "en"}

# For clients of plain HTTP: without it each reads the authorities of TLS, which takes 25 ms.
PLAIN = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def free_port() -> int:
    """A port for a server that a test starts.

    A connection on it was just closed, so that for a minute the system gives the port to nobody who
    asks for any, and still to the server, which asks for this one.
    """
    with socket.socket() as free, socket.socket() as client:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        free.bind(("127.0.0.1", 0))
        free.listen(1)
        port: int = free.getsockname()[1]
        client.connect(("127.0.0.1", port))
        free.accept()[0].close()  # the side that closes first keeps the port
        return port
