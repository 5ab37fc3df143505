"""What the public consent log says about privacy budgets, recomputed from its files alone.

Each record is held against everything that does not come from itself: its noise against its
promise, the account that it states against the records before it, the root that it was fitted at
against the log, and its domain's origin against the contracts that were published by then.
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

PUBLIC = b"\x02"  # the first byte of an entry that stands in clear


@dataclass(frozen=True, slots=True)
class Recomputed:
    """`records`: how many; `findings` name the entry of the log, or the record's position."""

    records: int
    spending: Spending
    findings: list[str]


def recompute(source: LogSource) -> Recomputed:
    """Raises UnreadableError, and what a malformed checkpoint or entry raises."""
    size = checkpoint.parse(signed_note.parse(source.read("checkpoint").decode()).text).size
    files = LogFiles(source, size)
    replay = _Replay(files.nodes())
    for index, found in _announced(files):
        replay.take(index, found)
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
    """`contracts`: "scene version digest", as releases name them, of all published so far."""

    def __init__(self, nodes: NodeReader) -> None:
        self.bodies: list[Mapping[str, Any]] = []
        self.findings: list[str] = []
        self._contracts: dict[str, int] = {}
        self._nodes = nodes
        self._states_roots = False  # once records do, they all must

    def take(self, index: int, found: object) -> None:
        match found:
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
            self._find(index, "is of an earlier format than a record before it, and says less")
        try:
            self._compare_root(index, int(body["ledger_size"]), body.get("ledger_root"))
        except (KeyError, TypeError, ValueError) as error:
            self._find(index, f"names no state of the log that it rests on ({error!r})")

    def _compare_root(self, index: int, size: int, said: object) -> None:
        if size > index:
            self._find(index, f"rests on {size} entries, but stands before them")
        elif said is not None and said != (due := merkle.root(size, self._nodes).hex()):
            self._find(index, f"names the root {said} of {size} entries, the log's is {due}")

    def _compare_release(self, index: int, name: str, body: Mapping[str, Any]) -> None:
        try:
            found = Release.from_body(body)
            releases.verify(found)
        except MalformedReleaseError as error:
            self._find(index, str(error))
            return
        for segment in found.resumed:
            self._compare_root(index, segment.ledger_size, segment.ledger_root)
        if found.id != name:
            self._find(index, f"is called {name}, but its body makes {found.id}")
        if self._contracts.get(found.contract, found.ledger_size) >= found.ledger_size:
            self._find(
                index, f"rests on contract {found.contract!r}, which was not published by then"
            )

    def _find(self, index: int, what: str) -> None:
        self.findings.append(f"entry {index}: {what}")
