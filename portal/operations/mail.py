"""Sends letters to customers: a copy of each receipt, and warnings about their keys.

Letters leave through a mail server, or are written as .eml files where there is none:

    smtps://portal:secret@mail.bank.example:465      encrypted from the first byte
    smtp://mail.bank.example:587                     STARTTLS; plain on this host alone
    folder:/var/spool/letters                        one file per letter, readable by its owner only

A letter never delays a request and never makes an act fail: a separate thread writes and sends it.
A letter that cannot be sent is logged without a name and not retried; the receipt can still be
downloaded or sent again.
"""

import logging
import smtplib
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import make_msgid
from pathlib import Path
from queue import Empty, Full, Queue
from threading import Lock, Thread
from typing import Protocol
from urllib.parse import unquote, urlsplit

from ledger.tlog import atomic_file
from portal.configuration.sources import SettingError

MAX_WAITING = 1000  # letters; more are dropped, and logged
MAX_ASKED = 50  # of them that anybody may ask for: they crowd out no receipt and no warning
TIMEOUT_S = 10.0
PORTS = {"smtp": 587, "smtps": 465}
LOOPBACK = {"localhost", "127.0.0.1", "::1"}

log = logging.getLogger(__name__)


class MailSettingError(SettingError):
    """The setting `mail` names no mail server and no folder. The message says what it may be."""


class LetterSender(Protocol):
    """Sends letters. One attempt per call; raises OSError or smtplib.SMTPException."""

    def send(self, letter: EmailMessage) -> None: ...


Letter = Callable[[], EmailMessage | None]  # called when it is sent; None: no address


@dataclass(frozen=True, slots=True)
class LetterFolder:
    """Writes each letter to a file of its own."""

    folder: Path

    def send(self, letter: EmailMessage) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        name = str(letter["Message-ID"]).strip("<>").partition("@")[0]
        atomic_file.write(self.folder / f"{name}.eml", bytes(letter), atomic_file.OWNER_ONLY)


@dataclass(frozen=True, slots=True)
class LetterSmtp:
    """Sends each letter to a mail server, encrypted unless the server is on this host."""

    host: str
    port: int
    user: str
    password: str
    encrypted: bool  # from the first byte

    def send(self, letter: EmailMessage) -> None:
        with self._connected() as server:
            if not self.encrypted and self.host not in LOOPBACK:
                server.starttls(context=ssl.create_default_context())
            if self.user:
                server.login(self.user, self.password)
            server.send_message(letter)

    def _connected(self) -> smtplib.SMTP:
        if self.encrypted:
            context = ssl.create_default_context()
            return smtplib.SMTP_SSL(self.host, self.port, timeout=TIMEOUT_S, context=context)
        return smtplib.SMTP(self.host, self.port, timeout=TIMEOUT_S)


def sender(setting: str) -> LetterSender | None:
    """The sender for the setting `mail`; None if it is empty. Raises MailSettingError."""
    if not setting:
        return None
    where = urlsplit(setting)
    if where.scheme == "folder" and where.path:
        return LetterFolder(Path(where.path))
    if where.scheme in PORTS and where.hostname:
        user, password = unquote(where.username or ""), unquote(where.password or "")
        port = where.port or PORTS[where.scheme]
        return LetterSmtp(where.hostname, port, user, password, where.scheme == "smtps")
    raise MailSettingError(
        f"setting mail begins with {where.scheme!r}, "
        "want smtp://host:port, smtps://host:port or folder:path"
    )


def letter(sender: str, to: str, subject: str, body: str) -> EmailMessage:
    """A plain-text letter, marked as auto-generated (RFC 3834)."""
    made = EmailMessage()
    made["From"], made["To"], made["Subject"] = sender, to, subject
    made["Message-ID"] = make_msgid(domain=sender.rpartition("@")[2] or "localhost")
    made["Auto-Submitted"] = "auto-generated"
    made.set_content(body)
    return made


class CustomerMail:
    """Sends letters one after the other. Thread-safe; `put` never blocks and never fails."""

    def __init__(self, way: LetterSender) -> None:
        self._way = way
        self._waiting: Queue[Letter] = Queue(MAX_WAITING)
        self._lock = Lock()
        self._carrier: Thread | None = None

    def put(self, write: Letter, *, anybody_asks: bool = False) -> None:
        """`anybody_asks`: nobody signed in, so it waits behind few letters or is not sent."""
        if anybody_asks and self._waiting.qsize() >= MAX_ASKED:
            log.warning("%d letters are waiting already; no link is sent", MAX_ASKED)
            return
        try:
            self._waiting.put_nowait(write)
        except Full:
            log.warning("%d letters are waiting already; one more is dropped", MAX_WAITING)
            return
        with self._lock:
            if self._carrier is None:
                self._carrier = Thread(target=self._carry, name="post", daemon=True)
                self._carrier.start()

    def settle(self) -> None:
        """Block until every waiting letter was sent or dropped."""
        self._waiting.join()

    def _carry(self) -> None:
        while (write := self._next()) is not None:
            try:
                if (written := write()) is not None:
                    self._way.send(written)
            except Exception as error:  # noqa: BLE001 - whatever it was, the next letter is sent
                log.warning("a letter was not sent: %s", type(error).__name__)
            finally:
                self._waiting.task_done()

    def _next(self) -> Letter | None:
        """The next letter; None, which ends the thread, if none waits."""
        with self._lock:
            try:
                return self._waiting.get_nowait()
            except Empty:
                self._carrier = None
                return None
