"""Recomputes privacy budgets from the public files of the consent log alone.

Each record is compared with independent facts: its noise with its stated privacy loss, its account
with the earlier records, the root it was fitted at with the log, and the origin of its domain with
the contracts that were published by then.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ledger.events import envelope
from ledger.events.envelope import BudgetReserved, ScenePublished, SyntheticReleased
from ledger.tlog import checkpoint, merkle, signed_note
from ledger.tlog.fetcher import LogFiles, LogSource
from ledger.tlog.merkle import NodeReader
from ledger.tlog.tiles import WIDTH
from portal.operations.release_service import limits
from synthetic.fitting import release as releases
from synthetic.fitting.release import MalformedReleaseError, Release
from synthetic.privacy import budget_ledger
from synthetic.privacy.budget_ledger import EARLIER, MalformedRecordError, Spending

PUBLIC = b"\x02"  # the first byte of a public entry


@dataclass(frozen=True, slots=True)
class Recomputed:
    """The result. `records`: how many. `findings` name the log entry or the record's position."""

    records: int
    spending: Spending
    findings: list[str]


def recompute(source: LogSource) -> Recomputed:
    """Recompute all accounts. Raises UnreadableError, or ValueError for a malformed log."""
    size = checkpoint.parse(signed_note.parse(source.read("checkpoint").decode()).text).size
    files = LogFiles(source, size)
    replay = _Replay(files.nodes())
    for index, event in _announced(files):
        replay.take(index, event)
    try:
        spent = budget_ledger.verify(
            replay.bodies, limits(str(b.get("scene")) for b in replay.bodies)
        )
    except MalformedRecordError as error:
        replay.findings.append(f"{error}: no account can be recomputed")
        spent = Spending()
    return Recomputed(len(replay.bodies), spent, [*spent.findings, *replay.findings])


def _announced(files: LogFiles) -> Iterator[tuple[int, object]]:
    for n in range(-(-files.size // WIDTH)):
        for index, entry in enumerate(files.entries(n), n * WIDTH):
            if entry[:1] == PUBLIC:
                yield index, envelope.decode(entry[1:])


class _Replay:
    """Follows the public entries. `_contracts`: "scene version digest" -> index of its entry."""

    def __init__(self, nodes: NodeReader) -> None:
        self.bodies: list[Mapping[str, Any]] = []
        self.findings: list[str] = []
        self._contracts: dict[str, int] = {}
        self._nodes = nodes
        self._states_roots = False  # once records do, they all must

    def take(self, index: int, event: object) -> None:
        match event:
            case ScenePublished(scene=scene, version=version, digest=digest):
                self._contracts.setdefault(f"{scene} {version} {digest}", index)
            case BudgetReserved(body=body):
                self._take_record(index, body)
            case SyntheticReleased(body=body, release=name):
                self._take_record(index, body)
                self._compare_release(index, name, body)
            case _:
                pass

    def _take_record(self, index: int, body: Mapping[str, Any]) -> None:
        self.bodies.append(body)
        if body.get("format") not in EARLIER.values():
            self._states_roots = True
        elif self._states_roots:
            self._find(index, "has an earlier format, with fewer facts, than a record before it")
        try:
            self._compare_root(index, int(body["ledger_size"]), body.get("ledger_root"))
        except (KeyError, TypeError, ValueError) as error:
            self._find(
                index, f"does not name the size and root of the log it was fitted at ({error!r})"
            )

    def _compare_root(self, index: int, size: int, root: object) -> None:
        if size > index:
            self._find(index, f"was fitted at {size} entries, but is entry {index}")
        elif root is not None and root != (due := merkle.root(size, self._nodes).hex()):
            self._find(index, f"names the root {root} of {size} entries, want {due} as in the log")

    def _compare_release(self, index: int, name: str, body: Mapping[str, Any]) -> None:
        try:
            release = Release.from_body(body)
            releases.verify(release)
        except MalformedReleaseError as error:
            self._find(index, str(error))
            return
        for segment in release.resumed:
            self._compare_root(index, segment.ledger_size, segment.ledger_root)
        if release.id != name:
            self._find(index, f"has the name {name}, want {release.id} as its body gives")
        if self._contracts.get(release.contract, release.ledger_size) >= release.ledger_size:
            self._find(
                index, f"uses contract {release.contract!r}, which was not published by then"
            )

    def _find(self, index: int, what: str) -> None:
        self.findings.append(f"entry {index}: {what}")
