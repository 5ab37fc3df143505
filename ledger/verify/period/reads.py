"""The read logs of a period: each as the consent log opened, anchored and closed it."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from ledger.tlog import auditor, checkpoint, policy, signed_note
from ledger.tlog.auditor import KeyDemand
from ledger.tlog.checkpoint import MalformedCheckpointError
from ledger.tlog.compact_range import Frontier
from ledger.tlog.fetcher import DirectorySource, UnreadableError
from ledger.tlog.merkle import Hash, leaf_hash
from ledger.tlog.signed_note import NoteError
from ledger.verify import read_log_entry
from ledger.verify.announced_read_logs import AnnouncedLog
from ledger.verify.period.finding import PeriodFinding
from ledger.verify.read_log_entry import EntryError
from ledger.verify.times.attested import AHEAD, FORMAT
from ledger.verify.times.from_log import moment


@dataclass(slots=True)
class PeriodReads:
    """What one read log has in the period: entries by service, scene, action and reason."""

    origin: str
    entries: int = 0
    reads: Counter[tuple[str, str, str, str]] = field(default_factory=Counter)


@dataclass(slots=True)
class ReadLogWalk:
    """One pass over one read log."""

    since: datetime
    until: datetime
    anchors: Mapping[int, Hash]
    found: PeriodReads
    consent_size: int
    _frontier: Frontier = field(default_factory=Frontier)
    _latest: datetime | None = None

    def check(self, leaf: bytes) -> str | None:
        """Look at the next entry; what is wrong with it, or None."""
        self._frontier.append([leaf_hash(leaf)])
        root = self.anchors.get(self._frontier.size)
        if root is not None and root != self._frontier.root():
            return f"the consent log anchored another root for the first {self._frontier.size}"
        try:
            entry = read_log_entry.parse(leaf)
            at = moment(entry["at"])
            rests_on = entry["consent"]["size"]
        except (EntryError, ValueError, LookupError, TypeError) as error:
            return str(error)
        if rests_on > self.consent_size:
            return f"it rests on {rests_on} entries of a consent log of {self.consent_size}"
        if self._latest is not None and self._latest - at > AHEAD:
            return f"of {at:{FORMAT}}, after an entry of {self._latest:{FORMAT}}"
        self._latest = at if self._latest is None else max(at, self._latest)
        if self.since <= at < self.until:
            names = ("service", "scene", "action", "reason")
            self.found.reads[tuple(str(entry.get(name, "")) for name in names)] += 1  # type: ignore[index] # four names
        self.found.entries += 1
        return None


def audit(
    home: Path,
    logs: Mapping[str, AnnouncedLog],
    opened: Mapping[str, datetime],
    consent_size: int,
    period: tuple[datetime, datetime],
) -> tuple[list[PeriodReads], list[PeriodFinding]]:
    """Audit every read log that was announced, and find those that were not.

    `opened`: when each was. One that was opened after the period may be not published yet.
    """
    shown, findings = _shown(home)
    results = []
    for origin, log in logs.items():
        folder = shown.pop(origin, None)
        if folder is None:
            findings += _not_shown(origin, log, later=opened[origin] >= period[1])
            continue
        found = PeriodReads(origin)
        walk = ReadLogWalk(*period, log.anchors, found, consent_size)
        findings += _audited(folder, log, walk)
        results.append(found)
    for origin, folder in shown.items():
        what = f"{origin} is published, but the consent log never opened it"
        findings.append(PeriodFinding(f"log/{folder.name}", "not-announced", what))
    return results, findings


def _shown(home: Path) -> tuple[dict[str, Path], list[PeriodFinding]]:
    """The folders of read logs, by the origin that their checkpoint names."""
    shown: dict[str, Path] = {}
    findings = []
    for folder in sorted((home / "log").glob("reads-*")):
        place = f"log/{folder.name}"
        try:
            text = DirectorySource(folder).read("checkpoint").decode()
            origin = checkpoint.parse(signed_note.parse(text).text).origin
        except UnreadableError as error:
            findings.append(PeriodFinding(place, "unreadable", str(error), unread=True))
        except (NoteError, MalformedCheckpointError, UnicodeDecodeError) as error:
            findings.append(PeriodFinding(place, "malformed", f"checkpoint: {error}"))
        else:
            shown[origin] = folder
    return shown, findings


def _not_shown(origin: str, log: AnnouncedLog, *, later: bool) -> Iterator[PeriodFinding]:
    place = f"log/{origin.rsplit('/', 1)[-1]}"
    if log.removed is not None:
        what = f"{origin} was removed as declared: its reads are no longer shown"
        yield PeriodFinding(place, "removed", what, unread=True)
    elif log.anchors:
        what = f"{origin} has {max(log.anchors)} anchored entries, and is not in the directory"
        yield PeriodFinding(place, "missing", what)
    elif log.closed is None and not later:
        # Its process may have answered before the first anchor. Nobody can tell from these files.
        what = f"{origin} was opened and not closed, no entry is anchored, and it is not shown"
        yield PeriodFinding(place, "not-shown", what, unread=True)


def _audited(folder: Path, log: AnnouncedLog, walk: ReadLogWalk) -> Iterator[PeriodFinding]:
    place, source = f"log/{folder.name}", DirectorySource(folder)
    try:
        trust = KeyDemand([policy.log_key(log.key)])
    except NoteError as error:
        yield PeriodFinding(place, "untrusted", f"the key that was announced: {error}")
        return
    report = auditor.audit(source, trust, check_entry=walk.check)
    yield from (PeriodFinding.of(place, each) for each in report.findings)
    if (head := report.head) is None:
        return
    anchored = max(log.anchors, default=0)
    if head.size < anchored:
        what = f"it shows {head.size} entries, the consent log anchored {anchored}"
        yield PeriodFinding(place, "cut", what)
    if log.closed is not None and head.size != log.closed:
        what = f"it shows {head.size} entries, the consent log closed it with {log.closed}"
        yield PeriodFinding(place, "after-the-end", what)
    if log.closed is None and head.size > anchored:
        what = f"its last {head.size - anchored} entries are not anchored yet"
        yield PeriodFinding(place, "not-anchored", what, unread=True)
