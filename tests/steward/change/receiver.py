"""Receivers of notices as they are met: real servers on loopback, each in a thread."""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import StreamRequestHandler, ThreadingTCPServer
from threading import Thread
from typing import Any, cast

Answer = Callable[[BaseHTTPRequestHandler], None]


@dataclass
class Receiver:
    """A service that hears notices. `answers` are used up first, then everything is accepted."""

    url: str = ""
    heard: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)

    def bodies(self) -> list[bytes]:
        return [body for _, body in self.heard]


def status(code: int, retry_after: str | None = None) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(code)
        if retry_after is not None:
            request.send_header("retry-after", retry_after)
        request.send_header("location", "http://127.0.0.1:9/elsewhere")
        request.send_header("content-length", "0")
        request.end_headers()

    return answer


def hang_up(request: BaseHTTPRequestHandler) -> None:
    """After hearing everything: the sender cannot know."""
    request.connection.shutdown(socket.SHUT_RDWR)


def sleep(seconds: float) -> Answer:
    return lambda _request: time.sleep(seconds)


def drip(request: BaseHTTPRequestHandler) -> None:
    """One byte at a time, each well within anybody's patience."""
    try:
        for byte in b"HTTP/1.1 200 OK\r\nx: " + b"x" * 6_000:
            request.wfile.write(bytes([byte]))
            time.sleep(0.05)
    except OSError:
        pass  # the sender had enough


@contextmanager
def listening(*answers: Answer) -> Iterator[Receiver]:
    receiver = Receiver(answers=[*answers])

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            receiver.heard.append((dict(self.headers), body))
            answer = receiver.answers.pop(0) if receiver.answers else status(204)
            answer(self)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    receiver.url = f"http://127.0.0.1:{server.server_address[1]}/hooks/consent?of=bank"
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()


def nobody() -> str:
    """The address of a receiver that is down."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}/"


class MailServer(ThreadingTCPServer):
    """A small SMTP server (RFC 5321) that keeps what it takes."""

    def __init__(self, *, refuses: bool) -> None:
        super().__init__(("127.0.0.1", 0), MailHandler)
        self.refuses = refuses
        self.messages: list[EmailMessage] = []


class MailHandler(StreamRequestHandler):
    def handle(self) -> None:
        self.say("220 mail.example")
        while (line := self.rfile.readline().strip().upper()) and line != b"QUIT":
            if line == b"DATA":
                self.say("354 go on")
                self.take()
            else:
                refused = line.startswith(b"MAIL") and cast("MailServer", self.server).refuses
                self.say("451 try again later" if refused else "250 fine")
        self.say("221 bye")

    def take(self) -> None:
        lines = []
        while (line := self.rfile.readline()) != b".\r\n":
            lines.append(line.removeprefix(b"."))
        made = message_from_bytes(b"".join(lines), policy=policy.default)
        cast("MailServer", self.server).messages.append(made)
        self.say("250 taken")

    def say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())


@contextmanager
def mail_server(*, refuses: bool = False) -> Iterator[tuple[int, list[EmailMessage]]]:
    """Its port, and the messages it took."""
    with MailServer(refuses=refuses) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield server.server_address[1], server.messages
        server.shutdown()
