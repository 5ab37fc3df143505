"""The read logs that a consent log announces: their keys, and the roots that it anchored."""

from base64 import b64decode
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ledger.tlog import auditor
from ledger.tlog.auditor import AuditFinding, AuditReport, Demand, FindingKind
from ledger.tlog.fetcher import LogSource, UnreadableError
from ledger.tlog.merkle import Hash
from ledger.vault import commitments
from ledger.verify.read_log_rules import ANCHORED, CLOSED, OPENED, ReadLogRules


class UnsoundLogError(ValueError):
    """A log is not the one that its keys signed. The message is the first finding."""


@dataclass(slots=True)
class AnnouncedLog:
    """A read log: its verifier key, and the roots of its prefixes by their size.

    `closed`: how many entries it has in all; None: more may follow. `removed`: when it was closed,
    if its entries were removed since, as declared.
    """

    key: str
    anchors: dict[int, Hash] = field(default_factory=dict)
    closed: int | None = None
    removed: datetime | None = None


def announced(consent: LogSource, trust: Demand) -> dict[str, AnnouncedLog]:
    """The read logs by origin, from the whole consent log. Raises UnsoundLogError, UnreadableError.

    No anchor of a log comes before its announcement, each log is announced once, and none grows
    after it was closed.
    """
    found: dict[str, AnnouncedLog] = {}
    rules = ReadLogRules()

    def look(leaf: bytes) -> str | None:
        if not leaf.startswith(commitments.PUBLIC):
            return None
        try:
            event = commitments.parse(leaf[len(commitments.PUBLIC) :])
            rules.require(event)
            _take(found, event)
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            return f"no event about a read log can be told: {error!r}"
        return None

    require_sound(auditor.audit(consent, trust, check_entry=look))
    for origin, closed in rules.removed():
        found[origin].removed = closed
    return found


def require_sound(report: AuditReport) -> None:
    """Raise UnsoundLogError, or UnreadableError, unless an audit found nothing."""
    for finding in _worst_last(report.findings):
        if finding.kind == FindingKind.UNREADABLE:
            raise UnreadableError(*finding.message.split(": ", 1))
        raise UnsoundLogError(f"{finding.kind}: {finding.message}")


def _worst_last(findings: Iterable[AuditFinding]) -> list[AuditFinding]:
    """What is wrong before what could not be read."""
    return sorted(findings, key=lambda each: each.kind == FindingKind.UNREADABLE)


def _take(found: dict[str, AnnouncedLog], event: dict[str, Any]) -> None:
    if event["type"] == OPENED:
        if event["origin"] in found:
            raise ValueError(f"{event['origin']} is announced twice")
        found[event["origin"]] = AnnouncedLog(event["key"])
    elif event["type"] in {ANCHORED, CLOSED}:
        log, root = found[event["origin"]], b64decode(event["root"], validate=True)
        if event["size"]:
            log.anchors[event["size"]] = root
        if event["type"] == CLOSED:
            log.closed = event["size"]
