"""What happened to a customer's permissions and data, of all kinds in one list, newest first. Pure.

Reads are a stream that may be long, of which a page takes what it shows. All other events of one
customer are few and come as a sequence. `Taken` says how many of both the earlier pages showed, so
a page costs what it shows, however long the logs are.
"""

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import islice

from gate.contracts import versions
from gate.contracts.scene import Scene
from gate.readlog.writer import OWN
from ledger.events.envelope import (
    Granted,
    Imported,
    Instruction,
    ScenePublished,
    SourceDeleted,
    Withdrawn,
)
from ledger.events.reducer import SceneConsent
from ledger.reader import RecordedEvent
from portal.consent import centre, history
from portal.consent.flow.reads import ReadRow
from portal.web.i18n import Words

PAGE_SIZE = 50
RECEIPT, READ = "history.receipt", "reads.entry"


class EventKind(StrEnum):
    DECISION = "decision"
    READ = "read"
    LOOK_UP = "look-up"
    OPENING = "opening"
    EXPIRY = "expiry"
    CONTRACT = "contract"


@dataclass(frozen=True, slots=True)
class TimelineEvent:
    """One line of the timeline.

    `entry`: the number of the entry that proves it; `place`: a message key, how it is called, which
    says of which log; `proof`: the address of a file, empty if there is none.
    """

    at: datetime
    kind: EventKind
    text: str
    details: tuple[str, ...]
    place: str
    entry: int
    proof: str = ""


@dataclass(frozen=True, slots=True)
class Taken:
    """How many reads, and how many other events, earlier pages showed."""

    reads: int = 0
    others: int = 0


@dataclass(frozen=True, slots=True)
class TimelinePage:
    rows: tuple[TimelineEvent, ...]
    older: Taken | None  # where the next page begins, if there is one


def page(
    others: Sequence[TimelineEvent], found: Iterable[TimelineEvent], taken: Taken
) -> TimelinePage:
    """The page after `taken`. `others`: all, newest first; `found`: reads from `taken.reads` on."""
    rows = [*islice(merged(others[taken.others :], found), PAGE_SIZE + 1)]
    shown = rows[:PAGE_SIZE]
    read = sum(each.kind is EventKind.READ for each in shown)
    older = Taken(taken.reads + read, taken.others + len(shown) - read)
    return TimelinePage((*shown,), older if len(rows) > PAGE_SIZE else None)


def merged(
    others: Iterable[TimelineEvent], found: Iterable[TimelineEvent]
) -> Iterator[TimelineEvent]:
    """Both by time, newest first; of the same second the reads last. Takes one read ahead."""
    return heapq.merge(others, found, key=lambda each: each.at, reverse=True)


def decisions(
    recorded: Iterable[RecordedEvent],
    scenes: Mapping[str, Scene],
    words: Mapping[str, Words],
    spoken: Words,
) -> Iterator[TimelineEvent]:
    for each in recorded:
        row = history.entry(each, scenes, words)
        text, how = history.sentence(row, spoken), spoken.plain(f"evidence.{row.evidence}")
        yield TimelineEvent(
            row.at, EventKind.DECISION, text, (how,), RECEIPT, row.index, _receipt(row.index)
        )


def expiries(
    recorded: Sequence[RecordedEvent], scenes: Mapping[str, Scene], spoken: Words, at: datetime
) -> Iterator[TimelineEvent]:
    """The permissions given here that ended by themselves before `at`."""
    last: dict[str, tuple[Scene, RecordedEvent, datetime]] = {}
    ended: list[tuple[Scene, RecordedEvent, datetime]] = []
    for each in recorded:
        event = each.event
        if not isinstance(event, Instruction):
            continue
        if isinstance(event.act, SourceDeleted):  # ended everything
            ended += [before for before in last.values() if before[2] <= event.at]
            last.clear()
        scene = scenes.get(event.scene or "")
        if scene is None or not isinstance(event.act, Granted | Imported | Withdrawn):
            continue
        if (before := last.pop(scene.id, None)) and before[2] <= event.at:
            ended.append(before)
        if isinstance(event.act, Granted) and (event.act.until or not scene.objectable):
            last[scene.id] = (scene, each, _end(scene, each.index, event.act, event.at))
    ended += [each for each in last.values() if each[2] <= at]
    for scene, given, end in ended:
        text = spoken.plain("timeline.expiry", scene=spoken.of(scene.title))
        yield TimelineEvent(
            end, EventKind.EXPIRY, text, (), RECEIPT, given.index, _receipt(given.index)
        )


def contracts(
    published: Iterable[tuple[int, ScenePublished]], scenes: Mapping[str, Scene], spoken: Words
) -> Iterator[TimelineEvent]:
    """Each later version of a contract; the first of a scene changes nothing for anybody."""
    known: set[str] = set()
    for index, act in published:
        if act.scene in known and (scene := scenes.get(act.scene)) is not None:
            facts = {"scene": spoken.of(scene.title), "version": act.version}
            text = spoken.plain("timeline.contract", **facts)
            current = versions.parse(act.version) == versions.parse(scene.version)
            proof = f"/contracts/{act.scene}.odcs.yaml" if current else ""
            yield TimelineEvent(
                act.at, EventKind.CONTRACT, text, (), "timeline.entry", index, proof
            )
        known.add(act.scene)


def read(row: ReadRow, spoken: Words) -> TimelineEvent:
    """A read, with what was answered of each item and why."""
    if row.action == OWN:
        text = spoken.plain("reads.you")
    else:
        who = spoken.of(row.service) if row.service else spoken.plain("reads.unnamed")
        text = f"{who} · {spoken.of(row.scene)}"
    parts = [
        f"{spoken.plain(f'view.{part.view}')}{spoken.plain('list.colon')}{spoken.listed(part.items)}"
        for part in row.parts
    ]
    why = spoken.plain(f"reason.{row.reason}")
    return TimelineEvent(row.at, EventKind.READ, text, (*parts, why), READ, row.index)


def _end(scene: Scene, index: int, act: Granted, at: datetime) -> datetime:
    return centre.ends(scene, SceneConsent(frozenset(act.fields), act.until, at, index))


def _receipt(index: int) -> str:
    return f"/customer/receipts/{index}"
