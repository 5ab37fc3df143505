"""The rules between the public acts about read logs: one key, one root a size, one end.

    read-log-opened    its verifier key, once
    read-log-anchored  how many entries it has, and their root; repeated as it grows
    read-log-closed    its last anchor: it has these entries, and no entry may follow
    reads-kept         for how many days read logs are kept after their end; 0: for ever
    read-log-removed   the entries of a closed log are removed, because that time is over

The company could remove a read that it regrets. So a shorter time counts only from its declaration
on: nothing is removed before that many days have passed since both the log's end and the
declaration. An act counts as no earlier than the acts before it, whatever its own time says, so
that neither can be dated back; one that is dated ahead is contradicted by the next act.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from ledger.vault import commitments

OPENED, ANCHORED, CLOSED = "read-log-opened", "read-log-anchored", "read-log-closed"
MIN_DAYS = 30  # that read logs are kept at least, so that a declaration is seen before it counts
_TYPES = {OPENED, ANCHORED, CLOSED, "reads-kept", "read-log-removed"}
SKEW = timedelta(minutes=5)
_TIME = "%Y-%m-%dT%H:%M:%SZ"
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class ReadLogFacts:
    """What was recorded of one read log. `key` is None if its opening was not seen."""

    key: str | None = None
    opened: datetime = _BEGINNING
    last: datetime = _BEGINNING  # of its opening and its anchors
    size: int = 0
    root: str | None = None
    closed: datetime | None = None
    removed: bool = False


@dataclass(slots=True)
class ReadLogRules:
    """Checks each act against the ones before. Memory grows with the number of read logs only."""

    whole: bool = True  # False: an audit that begins in the middle of a consent log
    logs: dict[str, ReadLogFacts] = field(default_factory=dict)  # by origin
    days: int = 0  # that read logs are kept; 0: for ever
    _since: datetime = _BEGINNING  # when this time, or a shorter one, was declared
    _latest: datetime = _BEGINNING  # of all acts so far
    _removed_at: datetime = _BEGINNING

    def require(self, event: Mapping[str, Any]) -> None:
        """Raise ValueError if an act contradicts an earlier one. Other events are ignored.

        `event`: a public event as JSON. What an earlier part of the log says, which was not seen,
        is not judged. Raises what malformed JSON raises.
        """
        if event["type"] in _TYPES:
            self._require(event)

    def _require(self, event: Mapping[str, Any]) -> None:
        at = datetime.strptime(event["at"], _TIME).replace(tzinfo=UTC)
        if self._removed_at > max(at, self._latest) + SKEW:
            raise ValueError(
                f"a read log was removed on {self._removed_at:{_TIME}}, after this act"
            )
        if event["type"] != "read-log-removed":
            self._latest = max(self._latest, at)
        match event["type"]:
            case "read-log-opened":
                self._open(event["origin"], event["key"], at)
            case "read-log-anchored":
                self._anchor(event["origin"], event["size"], event["root"], at)
            case "read-log-closed":
                self._anchor(event["origin"], event["size"], event["root"], at)
                self.logs[event["origin"]].closed = self._latest
            case "reads-kept":
                self._keep(event["days"])
            case "read-log-removed":
                self._remove(event["origin"], at)

    def removable(self, origin: str, at: datetime) -> str | None:
        """Why the entries of a log may not be removed at this time; None: they may."""
        log = self.logs.get(origin)
        if log is None or log.closed is None:
            return f"{origin} was not closed"
        if not self.days:
            return f"{origin}: no time was declared after which reads are removed"
        since = max(log.closed, self._since)
        if at < since + timedelta(days=self.days):
            return f"{origin}: {self.days} days from {since:{_TIME}} are not over at {at:{_TIME}}"
        return None

    def removed(self) -> Iterator[tuple[str, datetime]]:
        """The logs whose entries were removed, and when each was closed."""
        for origin, log in self.logs.items():
            if log.removed and log.closed is not None:
                yield origin, log.closed

    def expected(self) -> Iterator[tuple[str, ReadLogFacts]]:
        """The logs whose entries must be there: not removed, nor closed without any entry.

        A log that was opened and has no anchor is one of them: its process may have answered.
        """
        for origin, log in self.logs.items():
            if not log.removed and not (log.closed and not log.size):
                yield origin, log

    def _open(self, origin: str, key: str, at: datetime) -> None:
        log = self.logs.setdefault(origin, ReadLogFacts())
        if log.key is not None and log.key != key:
            raise ValueError(f"{origin} is opened again with another key")
        if log.closed or log.root is not None:
            raise ValueError(f"{origin} is opened again, after entries of it were anchored")
        log.key, log.opened, log.last = key, at, at

    def _anchor(self, origin: str, size: int, root: str, at: datetime) -> None:
        log = self.logs.setdefault(origin, ReadLogFacts())
        if log.closed:
            raise ValueError(f"{origin} was closed with {log.size} entries, no act may follow")
        if size < log.size:
            raise ValueError(f"{origin} has {size} entries, {log.size} were anchored before")
        if size == log.size and log.root not in {None, root}:
            raise ValueError(f"{origin} has two roots at size {size}")
        log.size, log.root, log.last = size, root, at

    def _keep(self, days: int) -> None:
        if days < MIN_DAYS and days != 0:
            raise ValueError(f"reads are kept for {days} days, want {MIN_DAYS} or more, or 0")
        if not self.days or (days and days < self.days):
            self._since = self._latest
        self.days = days

    def _remove(self, origin: str, at: datetime) -> None:
        log = self.logs.setdefault(origin, ReadLogFacts())
        why = self.removable(origin, at)
        if why is not None and (self.whole or (log.closed and self.days)):
            raise ValueError(f"a read log was removed that is to be kept: {why}")
        if log.removed:
            raise ValueError(f"{origin} was removed twice")
        log.removed = True
        self._removed_at = max(self._removed_at, at)


def check(rules: ReadLogRules, entry: bytes) -> str | None:
    """What is wrong with an entry of a consent log by these rules; None: nothing."""
    if not entry.startswith(commitments.PUBLIC) or b'"read' not in entry:
        return None
    try:
        rules.require(commitments.parse(entry[len(commitments.PUBLIC) :]))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        return f"an act about a read log: {error}"
    return None
