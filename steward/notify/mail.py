"""Sends notices by mail: through an SMTP server, or as .eml files in a folder without one.

The message is made from the CloudEvent, in both languages, and has its id. Names in it are masked.
"""

import json
import smtplib
import ssl
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime
from pathlib import Path
from typing import Any

from ledger.tlog import atomic_file
from steward.cases.case_store import moment
from steward.notify.outbox import OutgoingNotice, UndeliveredError
from steward.notify.webhook import is_loopback

TIMEOUT_S = 10.0
DOMAIN = "steward.invalid"  # domain of message ids (RFC 2606)


@dataclass(frozen=True, slots=True)
class NoticeFolder:
    """Writes each message to `folder` as `<id>.eml`. A `steward.notify.outbox.Sender`."""

    folder: Path
    to: str
    sender: str = f"steward@{DOMAIN}"

    def send(self, letter: OutgoingNotice, at: datetime) -> None:  # noqa: ARG002 - dated by its case
        """Write the file; a second attempt overwrites it with the same bytes."""
        data = bytes(message(letter, self.sender, self.to))
        try:
            atomic_file.write(self.folder / f"{letter.id}.eml", data, atomic_file.OWNER_ONLY)
        except OSError as error:
            raise UndeliveredError(f"cannot be written: {error}; check the folder") from error


@dataclass(frozen=True, slots=True)
class NoticeSmtp:
    """Sends each message to a mail server, encrypted unless the server is on this host.

    A `steward.notify.outbox.Sender`.
    """

    host: str
    port: int
    to: str
    sender: str
    timeout_s: float = TIMEOUT_S

    def send(self, letter: OutgoingNotice, at: datetime) -> None:  # noqa: ARG002 - dated by its case
        whole = message(letter, self.sender, self.to)
        try:
            with smtplib.SMTP(self.host, self.port, timeout=self.timeout_s) as server:
                if not is_loopback(self.host):
                    server.starttls(context=ssl.create_default_context())
                server.send_message(whole)
        except (OSError, smtplib.SMTPException) as error:
            raise UndeliveredError(f"not accepted: {type(error).__name__}: {error}") from error


def message(letter: OutgoingNotice, sender: str, to: str) -> EmailMessage:
    """The mail for a notice; deterministic."""
    event: dict[str, Any] = json.loads(letter.body)
    by_language = event["data"]["text"]
    # The company's first language first; notices of earlier versions do not name the order.
    texts = [by_language[each] for each in event["data"].get("languages", by_language)]
    made = EmailMessage()
    made["From"], made["To"] = sender, to
    made["Subject"] = " / ".join(each["title"] for each in texts)
    made["Date"] = format_datetime(moment(event["time"]))
    made["Message-ID"] = f"<{letter.id}@{DOMAIN}>"
    made["Auto-Submitted"] = "auto-generated"  # RFC 3834: suppresses automatic replies
    made.set_content("\n\n".join(f"{each['title']}\n\n{each['body']}" for each in texts) + "\n")
    return made
