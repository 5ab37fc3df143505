"""What the product depends on: the clock, the proxy, the mail server, the source, witnesses."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import urlopen

from gate.contracts.company import Company
from gate.reads.sources.interface import SourceUnavailableError
from ledger import clock as clocks
from ledger.integrity import witnessed_time
from ledger.integrity.finding import FsckFinding
from ledger.tlog import policy
from ledger.verify.times.attested import BEHIND
from portal.operations import job_results
from portal.operations import mail as letters
from portal.operations.mail import LetterSmtp
from portal.operations.readiness.checks import NOBODY
from portal.operations.readiness.probes import LIVE
from portal.operations.settings import PORTS, Settings
from portal.operations.wiring import open_source

WAIT_S = 5.0


def clock(home: Path) -> Iterator[FsckFinding]:
    """Whether the clock is behind what was recorded, or far from when the directory was used."""
    clocks.begin(home, job_results.last_used(home))
    if (why := clocks.doubt()) is not None:
        yield FsckFinding("clock", why)
    seen, shown = witnessed_time.seen_at(home), clocks.shown()
    if seen is not None and seen.at - shown > BEHIND:
        what = f"it is {int((seen.at - shown).total_seconds())} s behind what {seen.who} saw"
        yield FsckFinding("clock", what, remedy="set the clock of this machine")


def proxy(settings: Settings) -> Iterator[FsckFinding]:
    """Whether pages that browsers ask for over https reach the product as such.

    The product is asked through the proxy how the request came (`/livez`). If it says http, the
    proxy did not send X-Forwarded-Proto, or the product does not trust its address.
    """
    origin = settings.login_origin
    if urlsplit(origin).scheme != "https":
        return
    try:
        with urlopen(f"{origin}{LIVE}", timeout=WAIT_S) as answer:  # noqa: S310 - https, above
            scheme = json.loads(answer.read(1000))["scheme"]
    except HTTPError as error:
        what = f"{origin}{LIVE} is answered {error.code}"
        yield FsckFinding(
            "proxy", what, remedy="let the proxy pass this path, and serve the portal"
        )
    except (URLError, OSError) as error:
        reason = getattr(error, "reason", error)
        what = f"{origin} cannot be reached from this machine ({reason})"
        yield FsckFinding("proxy", what, remedy="start the portal and its proxy", looked=False)
    except (ValueError, KeyError, TypeError):
        what = f"{origin}{LIVE} is not answered by this product"
        yield FsckFinding("proxy", what, remedy="let the proxy pass this path to the portal")
    else:
        if scheme != "https":
            what = f"{origin} arrives as {scheme}, so cookies are not Secure"
            remedy = (
                "let the proxy set X-Forwarded-Proto, and start the portal with"
                " FORWARDED_ALLOW_IPS=<address of the proxy> if it is on another host"
            )
            yield FsckFinding("proxy", what, remedy=remedy)


def mail(settings: Settings) -> Iterator[FsckFinding]:
    """Whether the mail server accepts connections. Sends nothing."""
    way = letters.sender(settings.mail)
    if isinstance(way, LetterSmtp):
        yield from _reached("mail", way.host, way.port, "check the setting mail, and the server")


def source(settings: Settings, company: Company) -> Iterator[FsckFinding]:
    """Whether the source of the customers' rows answers. Reads no customer's row."""
    try:
        rows = open_source(settings, company.source)
        rows.row(NOBODY, [rows.key])
    except SourceUnavailableError as error:
        remedy = "check the setting source; until then nothing personal is answered"
        yield FsckFinding("source", str(error), remedy=remedy)


def witnesses(home: Path) -> Iterator[FsckFinding]:
    """Whether each witness of the policy accepts connections."""
    path = home / "witnesses.policy"
    if not path.exists():
        return
    for name, url in sorted(policy.parse(path.read_bytes()).addresses.items()):
        where = urlsplit(url)
        port = where.port or PORTS[where.scheme]
        remedy = "tell its operator; the quorum goes on without it"
        yield from _reached(f"witness {name}", where.hostname or "", port, remedy)


def _reached(what: str, host: str, port: int, remedy: str) -> Iterator[FsckFinding]:
    try:
        socket.create_connection((host, port), WAIT_S).close()
    except OSError as error:
        why = f"{host}:{port} does not answer ({error.strerror or error})"
        yield FsckFinding(what, why, remedy=remedy)
