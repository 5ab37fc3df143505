"""The data-flow map: which system has which item, and which scenes use it. Pure.

The map combines the contracts with the reads of the customer's data. Declared uses that never
happened are marked, and so are uses that no contract declares. It is drawn as three columns of
boxes joined by curves; all coordinates are computed here, in CSS pixels.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby, islice
from typing import Any

from gate.contracts.odcs import Text
from gate.contracts.scene import ReadShape, Scene
from gate.contracts.source import SourceContract
from gate.decision.decide import View
from ledger.events.reducer import ConsentState
from portal.consent.centre import SceneStatus, live_fields, standing_key

ROW = 30  # height of an item's row; other columns are spread over the same total height
BOX = 24
COLUMNS = ((0, 260), (428, 260), (856, 260))  # left edge and width of items, systems, scenes

MAX_READS_COUNTED = 1000  # the newest of one customer
READING = frozenset({"named", "read", "rows", "table"})  # actions that answer with values
STATISTICS = ReadShape.STATISTICS.value  # the action that only counts them
GIVEN = frozenset({View.PERSONAL, View.GENERALISED})  # views of the customer's own values

Reads = Counter[tuple[str, str]]  # (scene, item) -> how often it was read


@dataclass(frozen=True, slots=True)
class CountedReads:
    """How often each item was read in each scene, among the newest reads of the customer."""

    reads: Reads
    complete: bool  # whether these are all their reads

    @property
    def newest(self) -> int:
        return MAX_READS_COUNTED


@dataclass(frozen=True, slots=True)
class Node:
    id: str
    title: Text
    x: int
    y: int
    width: int
    height: int
    chosen: bool  # on the path of the item the reader picked


@dataclass(frozen=True, slots=True)
class Edge:
    path: str  # SVG path data
    allowed: bool
    chosen: bool


@dataclass(frozen=True, slots=True)
class Use:
    """One row of the table: an item, its system, a scene, and whether the customer allows it."""

    item: str
    title: Text
    system: Text
    scene: str
    scene_title: Text
    allowed: bool
    standing: str  # message key: what the customer decided
    declared: bool
    reads: int


@dataclass(frozen=True, slots=True)
class Flow:
    """The map and its table, ready to draw."""

    height: int
    items: tuple[Node, ...]
    systems: tuple[Node, ...]
    scenes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    uses: tuple[Use, ...]  # those of the picked item, or all
    picked: Text | None

    @property
    def routes(self) -> list[tuple[Use, ...]]:
        """The same uses item by item, for screens too narrow for the drawing."""
        return [(*each,) for _, each in groupby(self.uses, key=lambda use: use.item)]


def count(entries: Iterable[Mapping[str, Any]]) -> CountedReads:
    """Count a customer's reads, newest first, per scene and item.

    Those that gave their value, or counted it for statistics.
    """
    newest = [*islice(entries, MAX_READS_COUNTED + 1)]
    alike: Counter[tuple[str, tuple[str, ...]]] = Counter()
    for entry in newest[:MAX_READS_COUNTED]:
        if entry["action"] in READING:
            given = (name for name, view in entry["views"].items() if view in GIVEN)
            alike[entry["scene"], (*given,)] += 1
        elif entry["action"] == STATISTICS:
            alike[entry["scene"], (*entry["fields"],)] += 1
    reads: Reads = Counter()
    for (scene, items), times in alike.items():
        reads.update(dict.fromkeys(((scene, item) for item in items), times))
    return CountedReads(reads, len(newest) <= MAX_READS_COUNTED)


def uses(
    source: SourceContract,
    scenes: Mapping[str, Scene],
    state: ConsentState | None,
    reads: Reads,
    at: datetime,
) -> list[Use]:
    """Every use that is declared or happened, item by item, systems together."""
    live = {each.id: set(live_fields(each, state, at)) for each in scenes.values()}
    declared = {(scene.id, name) for scene in scenes.values() for name in scene.fields}
    order = {system: place for place, system in enumerate(source.systems)}
    items = sorted(source.items.values(), key=lambda item: order[item.system])
    return [
        Use(
            item.name,
            item.title,
            source.systems[item.system],
            scene.id,
            scene.title,
            item.name in live[scene.id],
            _standing(
                scene,
                allowed=item.name in live[scene.id],
                said=state is not None and scene.id in state.scenes,
            ),
            (scene.id, item.name) in declared,
            reads[scene.id, item.name],
        )
        for item in items
        for scene in scenes.values()
        if (scene.id, item.name) in declared or reads[scene.id, item.name]
    ]


def _standing(scene: Scene, *, allowed: bool, said: bool) -> str:
    status = SceneStatus.ALLOWED if allowed else SceneStatus.REFUSED
    return standing_key(scene, SceneStatus.LOCKED if scene.locked else status, said=said)


def draw(
    source: SourceContract, scenes: Mapping[str, Scene], uses: Sequence[Use], item: str | None
) -> Flow:
    """Lay the uses out; with `item`, its path stands out and the table holds only its rows."""
    names = [*dict.fromkeys(use.item for use in uses)]
    path = [use for use in uses if use.item == item]
    home = source.items[item].system if path and item else ""
    height = ROW * len(names)
    columns = (
        _column(0, [(name, source.items[name].title) for name in names], {item or ""}, height),
        _column(1, [*source.systems.items()], {home}, height),
        _column(2, [(s.id, s.title) for s in scenes.values()], {u.scene for u in path}, height),
    )
    return Flow(
        height,
        *columns,
        edges=_edges(source, columns, uses, item),
        uses=tuple(path or uses),
        picked=path[0].title if path else None,
    )


def _column(
    number: int, labels: Sequence[tuple[str, Text]], chosen: set[str], height: int
) -> tuple[Node, ...]:
    x, width = COLUMNS[number]
    step = height / max(1, len(labels))
    return tuple(
        Node(id_, title, x, round(step * (row + 0.5) - BOX / 2), width, BOX, id_ in chosen)
        for row, (id_, title) in enumerate(labels)
    )


def _edges(
    source: SourceContract,
    columns: tuple[tuple[Node, ...], ...],
    uses: Sequence[Use],
    item: str | None,
) -> tuple[Edge, ...]:
    """From each item to its system, and from each system to each scene that draws on it."""
    items, systems, scenes = ({node.id: node for node in column} for column in columns)
    first: dict[tuple[str, str], list[Use]] = {}
    second: dict[tuple[str, str], list[Use]] = {}
    for use in uses:
        system = source.items[use.item].system
        first.setdefault((use.item, system), []).append(use)
        second.setdefault((system, use.scene), []).append(use)
    edges = [_edge(items[a], systems[b], over, item) for (a, b), over in first.items()]
    edges += [_edge(systems[a], scenes[b], over, item) for (a, b), over in second.items()]
    return tuple(sorted(edges, key=lambda edge: (edge.chosen, edge.allowed)))  # drawn last on top


def _edge(start: Node, end: Node, over: Sequence[Use], item: str | None) -> Edge:
    chosen = [use for use in over if use.item == item]
    x1, y1 = start.x + start.width, start.y + BOX // 2
    x2, y2 = end.x, end.y + BOX // 2
    middle = (x1 + x2) // 2
    path = f"M{x1} {y1}C{middle} {y1} {middle} {y2} {x2} {y2}"
    return Edge(path, any(use.allowed for use in chosen or over), bool(chosen))
