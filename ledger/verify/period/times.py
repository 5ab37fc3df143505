"""The times of a period: what witnesses cosigned, timestamps, and the public acts between them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509

from ledger.tlog import checkpoint
from ledger.tlog.checkpoint import Checkpoint, MalformedCheckpointError
from ledger.tlog.policy import LogPolicy, LogPolicyError
from ledger.tlog.signed_note import Note
from ledger.verify.period.consent import PLACE, ConsentWalk
from ledger.verify.period.finding import PeriodFinding
from ledger.verify.read_log_rules import ANCHORED, CLOSED, OPENED
from ledger.verify.times import from_log
from ledger.verify.times.attested import AHEAD, FORMAT, Attested, of_note
from ledger.verify.times.timestamp_token import TokenError
from ledger.witness import cosigned_history
from ledger.witness.cosigned_history import MalformedHistoryError

WITNESSED, STAMPS = f"{PLACE}/{cosigned_history.FOLDER}", f"{PLACE}/{from_log.STAMPS}"
LATE = timedelta(minutes=5)  # after which a log that is served has its entries cosigned, at most
PROMPT = frozenset({ANCHORED, CLOSED, OPENED})  # acts that are recorded when they happen
BEHIND = timedelta(days=1)  # of a public act's time: the work that it is about began then


@dataclass(slots=True)
class PeriodTimes:
    """The cosigned checkpoints and the tokens beside a log, and the findings about them."""

    folder: Path
    trust: LogPolicy
    roots: Sequence[x509.Certificate] = ()
    notes: list[Note] = field(default_factory=list)
    tokens: list[tuple[int, bytes]] = field(default_factory=list)
    attested: list[Attested] = field(default_factory=list)
    findings: list[PeriodFinding] = field(default_factory=list)
    gaps: list["_Gap"] = field(default_factory=list)

    def read(self) -> frozenset[int]:
        """Read both; the sizes that they speak of."""
        try:
            self.notes = [*cosigned_history.read(self.folder)]
        except MalformedHistoryError as error:
            self._find(WITNESSED, "malformed", str(error))
        except OSError as error:
            self._find(WITNESSED, "unreadable", str(error), unread=True)
        try:
            self.tokens = [*from_log.tokens(self.folder)]
        except TokenError as error:
            self._find(STAMPS, "malformed", str(error))
        except OSError as error:
            self._find(STAMPS, "unreadable", str(error), unread=True)
        sizes = {head.size for note in self.notes if (head := self._head(note)) is not None}
        return frozenset(sizes | {size for size, _ in self.tokens})

    def check(self, walk: ConsentWalk) -> None:
        """Compare them with the log that was walked, and its public acts with them."""
        if (head := walk.head) is None:
            return
        for note in self.notes:
            self._check_note(note, head, walk)
        self._check_order()
        for size, token in self.tokens:
            self._check_token(size, token, head, walk)
        self._check_acts(walk)

    def _check_note(self, note: Note, head: Checkpoint, walk: ConsentWalk) -> None:
        try:
            seen = of_note(self.trust, note)
        except LogPolicyError as error:
            self._find(WITNESSED, "untrusted", str(error))
            return
        older = self._head(note)
        if seen is None or older is None:
            return
        if older.origin != head.origin:
            self._find(WITNESSED, "other-log", f"a checkpoint of {older.origin}")
        elif older.size > head.size:
            what = f"witnesses saw {older.size} entries, the log shows {head.size}"
            self._find(WITNESSED, "rolled-back", what)
        elif walk.roots.get(older.size) != older.root:
            what = f"witnesses saw another root of {older.size} entries than the log has"
            self._find(WITNESSED, "split-view", what)
        else:
            self.attested.append(seen)

    def _check_order(self) -> None:
        """A larger log was not seen earlier than a smaller one."""
        for before, after in zip(self.attested, self.attested[1:], strict=False):
            if after.head.size < before.head.size or before.at - after.by > AHEAD:
                what = (
                    f"{after.head.size} entries at {after.by:{FORMAT}} stand after"
                    f" {before.head.size} at {before.at:{FORMAT}}"
                )
                self._find(WITNESSED, "wrong-order", what)

    def _check_token(self, size: int, token: bytes, head: Checkpoint, walk: ConsentWalk) -> None:
        if not self.roots:
            return
        if size not in walk.roots:
            what = f"{STAMPS}/{size}.tsr is for {size} entries, the log shows {head.size}"
            self._find(STAMPS, "rolled-back", what)
            return
        try:
            older = Checkpoint(head.origin, size, walk.roots[size])
            self.attested.append(from_log.stamped(token, older, self.roots))
        except TokenError as error:
            self._find(STAMPS, "wrong-time", str(error))

    def _check_acts(self, walk: ConsentWalk) -> None:
        """Each public act lies between the checkpoints that were seen without it and with it."""
        ordered = sorted(self.attested, key=lambda each: each.head.size)
        place, after = 0, None
        for index, kind, at in walk.acts:
            while place < len(ordered) and ordered[place].head.size <= index:
                after, place = _later(after, ordered[place]), place + 1
            before = ordered[place] if place < len(ordered) else None
            if before is not None:
                self.gaps.append(_Gap(index, kind, at, after, before))
            what = f"entry {index} ({kind}) states {at:{FORMAT}}, "
            if before is not None and at - before.by > AHEAD:
                what += f"but {before.who} saw it by {before.by:{FORMAT}}"
                self._find(PLACE, "wrong-time", what)
            elif after is not None and after.at - at > BEHIND:
                what += f"but {after.who} saw the log without it at {after.at:{FORMAT}}"
                self._find(PLACE, "wrong-time", what)

    def covers(self, since: datetime, until: datetime) -> Iterator[PeriodFinding]:
        """What others do not attest of the period: its beginning, or its end."""
        if not self.attested:
            what = "nobody else attests any time: neither witnesses nor a timestamp authority"
            yield PeriodFinding(PLACE, "unwitnessed", what, unread=True)
            return
        if max(each.at for each in self.attested) < until - AHEAD:
            what = f"nobody else saw the log at the end of the period, {until:{FORMAT}}, or later"
            yield PeriodFinding(PLACE, "not-covered", what, unread=True)
        if min(each.by for each in self.attested) > since + AHEAD:
            what = f"nobody else saw the log at the beginning of the period, {since:{FORMAT}}"
            yield PeriodFinding(PLACE, "begins-later", what, unread=True)
        late = [each for each in self.gaps if since <= each.at < until and each.is_late]
        for each in {gap.before.head.size: gap for gap in reversed(late)}.values():
            yield PeriodFinding(WITNESSED, "gap", str(each), unread=True)

    def widest(self, since: datetime, until: datetime) -> int | None:
        """Seconds between the two checkpoints around a public act of the period, at most."""
        inside = (each for each in self.gaps if since <= each.at < until)
        return max((s for each in inside if (s := each.seconds) is not None), default=None)

    def _head(self, note: Note) -> Checkpoint | None:
        try:
            return checkpoint.parse(note.text)
        except MalformedCheckpointError as error:
            self._find(WITNESSED, "malformed", str(error))
            return None

    def _find(self, place: str, kind: str, what: str, *, unread: bool = False) -> None:
        found = PeriodFinding(place, kind, what, unread)
        if found not in self.findings:
            self.findings.append(found)


@dataclass(frozen=True, slots=True)
class _Gap:
    """A public act, and the checkpoints that others saw before and after it."""

    index: int
    kind: str
    at: datetime
    after: Attested | None
    before: Attested

    @property
    def seconds(self) -> int | None:
        if self.after is None:
            return None
        return int((self.before.by - self.after.at).total_seconds())

    @property
    def is_late(self) -> bool:
        """Whether it was seen long after it was recorded: others saw the log meanwhile, or could
        not."""
        return self.kind in PROMPT and self.before.by - self.at > LATE

    def __str__(self) -> str:
        late = int((self.before.by - self.at).total_seconds())
        wide = (
            "" if self.seconds is None else f"; the bounds there rest on a gap of {self.seconds} s"
        )
        return (
            f"entry {self.index} ({self.kind}) states {self.at:{FORMAT}}, and the first checkpoint"
            f" with it is {late} s later: checkpoints of the time between are missing{wide}"
        )


def _later(one: Attested | None, other: Attested) -> Attested:
    return other if one is None or other.at >= one.at else one
