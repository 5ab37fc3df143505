"""The consent log of a period: its audit, its public acts with their times, roots on the way."""

from base64 import b64decode
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ledger.tlog import auditor
from ledger.tlog.auditor import PolicyDemand
from ledger.tlog.checkpoint import Checkpoint
from ledger.tlog.compact_range import Frontier
from ledger.tlog.fetcher import LogSource
from ledger.tlog.merkle import EMPTY_ROOT, Hash, leaf_hash
from ledger.tlog.policy import LogPolicy
from ledger.vault import commitments
from ledger.verify.announced_read_logs import AnnouncedLog
from ledger.verify.event_profile import ProfileError, require_event
from ledger.verify.period.finding import PeriodFinding
from ledger.verify.read_log_rules import ANCHORED, CLOSED, OPENED, ReadLogRules
from ledger.verify.times.from_log import moment

PLACE = "log/consent"


@dataclass(slots=True)
class ConsentWalk:
    """One pass over the consent log. `wanted`: sizes whose roots are noted on the way."""

    wanted: frozenset[int]
    acts: list[tuple[int, str, datetime]] = field(default_factory=list)  # index, type, time
    instructions: int = 0
    roots: dict[int, Hash] = field(default_factory=dict)
    logs: dict[str, AnnouncedLog] = field(default_factory=dict)
    opened_at: dict[str, datetime] = field(default_factory=dict)  # by origin of a read log
    head: Checkpoint | None = None
    rules: ReadLogRules = field(default_factory=ReadLogRules)
    _frontier: Frontier = field(default_factory=Frontier)

    def read(self, source: LogSource, trust: LogPolicy) -> list[PeriodFinding]:
        """Audit the log from its first entry; the findings."""
        self.roots[0] = EMPTY_ROOT
        report = auditor.audit(source, PolicyDemand(trust), check_entry=self._check)
        self.head = report.head
        for origin, closed in self.rules.removed():
            if origin in self.logs:
                self.logs[origin].removed = closed
        return [PeriodFinding.of(PLACE, each) for each in report.findings]

    def _check(self, entry: bytes) -> str | None:
        index = self._frontier.size
        self._frontier.append([leaf_hash(entry)])
        if self._frontier.size in self.wanted:
            self.roots[self._frontier.size] = self._frontier.root()
        if entry.startswith(commitments.PERSONAL):
            self.instructions += 1
            size = commitments.PERSONAL_SIZE
            return (
                None if len(entry) == size else f"a commitment of {len(entry)} bytes, want {size}"
            )
        if not entry.startswith(commitments.PUBLIC):
            return "neither a commitment nor a public act"
        try:
            event = commitments.parse(entry[len(commitments.PUBLIC) :])
            require_event(event)
            self.acts.append((index, event["type"], moment(event["at"])))
            self.rules.require(event)
            self._take(event)
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            return str(error) if isinstance(error, ProfileError | ValueError) else f"{error!r}"
        return None

    def _take(self, event: dict[str, Any]) -> None:
        """Note what an act says of a read log. Raises ValueError if it was never opened."""
        if event["type"] == OPENED:
            self.logs.setdefault(event["origin"], AnnouncedLog(event["key"]))
            self.opened_at.setdefault(event["origin"], moment(event["at"]))
        elif event["type"] in {ANCHORED, CLOSED}:
            if (log := self.logs.get(event["origin"])) is None:
                raise ValueError(f"{event['origin']} is anchored without having been opened")
            if event["size"]:
                log.anchors[event["size"]] = b64decode(event["root"], validate=True)
            if event["type"] == CLOSED:
                log.closed = event["size"]


def in_period(
    walk: ConsentWalk, since: datetime, until: datetime
) -> Iterable[tuple[int, str, datetime]]:
    """The public acts whose time lies in the period."""
    return (each for each in walk.acts if since <= each[2] < until)
