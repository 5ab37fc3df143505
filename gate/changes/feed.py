"""Answers polls of the feed of changes. Gates share it: each continues where the last one ended."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from threading import Lock

from gate.changes import lines, pseudonyms, token
from gate.changes.advance import Advance, FeedLedger, FeedSources
from gate.changes.received import ReadLogFold
from gate.reads.point import Gate
from gate.state import consent_bits
from gate.storage.changes import ChangeLine, ChangeStore, FeedPosition
from gate.storage.read_log import ReadLogDatabases

RETENTION = timedelta(days=90)  # of lines
_DAY = timedelta(days=1)


class FeedPausedError(Exception):
    """A scene is suspended, or the clock is in doubt: nobody knows what may be read."""

    def __init__(self) -> None:
        super().__init__("a scene is suspended or the clock is in doubt; see /healthz")


class DroppedLinesError(Exception):
    """The token is older than the lines that are kept."""

    def __init__(self) -> None:
        super().__init__(
            f"since: lines after this token, older than {RETENTION.days} days, are no longer kept;"
            " leave it out, and treat whatever you have and the feed does not name as not allowed "
            "until you read it again"
        )


@dataclass(frozen=True, slots=True)
class FeedLine:
    """A line as its service gets it. `customer`: None if they were erased."""

    customer: str | None
    line: ChangeLine
    token: str


@dataclass(frozen=True, slots=True)
class FeedPage:
    """`token`: what to continue from; `more`: whether there are further lines already.

    `kept_since`: lines from before then are no longer kept; None: all are.
    """

    lines: Sequence[FeedLine]
    token: str
    more: bool
    kept_since: datetime | None


class ChangeFeed:
    """The feed of one data directory, as one gate serves it. Thread-safe."""

    def __init__(
        self, gate: Gate, ledger: FeedLedger, home: Path, secret: bytes, at: datetime
    ) -> None:
        """`secret`: of the data directory's gates. The first feed there ever was begins `at`.

        Raises SchemaVersionError, DatabaseError, and what following the ledger raises.
        """
        self._gate, self._ledger = gate, ledger
        self._store, self._logs = ChangeStore(home), ReadLogDatabases(home)
        self._sources = FeedSources.of(gate, ledger, ReadLogFold(self._logs, ledger, gate.scenes))
        self._token_key = pseudonyms.token_key(secret)
        self.hash_key = pseudonyms.hash_key(secret)
        self._turn = Lock()
        self._seen = (-1, -1)
        self._pruned: datetime | None = None
        with self._store.writing() as tables:
            if not tables.has_begun():
                tables.begin(ledger.size, consent_bits.minute(at))

    def page(self, service: str, since: str | None, limit: int, at: datetime) -> FeedPage:
        """The lines after token `since`; None: from the first that is kept.

        Whatever happened before the call is in it. Raises UnknownTokenError, DroppedLinesError,
        FeedPausedError, and what following the logs raises.
        """
        position = self.advance(at)
        start = self._start(position, service, since)
        following = self._store.lines(service, start, limit + 1)
        more, shown = len(following) > limit, following[:limit]
        last = max([start, *(e.number for e in shown), *(() if more else (position.last,))])
        names = self._ledger.named([e.customer for e in shown if e.customer is not None])

        def token_of(number: int) -> str:
            return token.issue(self._token_key, position.generation, service, number)

        named = [
            FeedLine(names.get(each.customer or 0), each, token_of(each.number))
            for each in shown
            # Who is not named was erased just now: the line that says so follows.
            if each.customer is None or each.customer in names
        ]
        kept_since = lines.moment(position.kept_since) if position.floor else None
        return FeedPage(named, token_of(last), more, kept_since)

    def moved(self, at: datetime) -> bool:
        """Whether `advance` may find something new."""
        return (self._ledger.size, consent_bits.minute(at)) != self._seen

    def advance(self, at: datetime) -> FeedPosition:
        """Add the lines of everything that happened until now; returns the position reached.

        Costs what is new. Raises FeedPausedError, and what following the logs raises.
        """
        if self._gate.suspended or self._gate.options.clock_doubt() is not None:
            raise FeedPausedError
        with self._turn:
            here, erased = self._transaction(at)
            if erased:
                self._store.overwrite()
            self._seen = here.ledger_size, consent_bits.minute(at)
        return here

    def close(self) -> None:
        self._logs.close()

    def _transaction(self, at: datetime) -> tuple[FeedPosition, bool]:
        """The position reached, and whether something of an erased customer was removed."""
        with self._store.writing() as tables:
            work = Advance(self._sources, tables, tables.position(), at)
            here = work.run()
            if self._pruned is None or at - self._pruned >= _DAY:
                here, self._pruned = tables.prune(here, int((at - RETENTION).timestamp())), at
        # Crash before the commit: the next call does the same. After it: nothing is lost.
        return here, work.erased

    def _start(self, position: FeedPosition, service: str, since: str | None) -> int:
        if since is None:
            return position.floor
        number = token.number(self._token_key, position.generation, service, since)
        if number > position.last:
            raise token.UnknownTokenError(since)
        if number < position.floor:
            raise DroppedLinesError
        return number
