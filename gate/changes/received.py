"""Folds the read logs: which service received which fields of which customer.

An entry is durable before its answer leaves, so whoever received something is found here, also
after a crash. Entries of evaluations and tables are skipped: an evaluation delivers no value, and a
table no id. An entry counts as delivered, whatever is known of its delivery.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import msgspec

from gate.contracts.scene import Scene
from gate.decision.decide import View
from gate.readlog.customer_sets import CustomerSets
from gate.state import consent_bits
from gate.storage.changes import SIZE, ChangeTables, Fields, NamedSet, Receipt
from gate.storage.read_log import ReadLogDatabase, ReadLogDatabases
from ledger.tlog import tiles
from ledger.vault import number_sets

_ONE, _ROWS, _SEARCH = b'{"action":"read",', b'{"action":"rows",', b'{"action":"search",'
_SOME = (_ONE, _ROWS, _SEARCH)
_BUNDLES = 64  # that are folded at once


@dataclass(frozen=True, slots=True)
class Since:
    """The oldest ledger position, and minute, that new entries rest on."""

    ledger_size: int
    minute: int

    def or_earlier(self, size: int, minute: int) -> "Since":
        return Since(min(self.ledger_size, size), min(self.minute, minute))


class ReadLogFold:
    """Folds all read logs of a data directory. Not thread-safe."""

    def __init__(self, logs: ReadLogDatabases, scenes: Mapping[str, Scene]) -> None:
        self._logs, self._scenes = logs, scenes

    def fold(self, tables: ChangeTables, since: Since) -> Since:
        """Add what was delivered since the last call, in the caller's transaction.

        Returns `since`, or what is earlier of the new entries. Costs what is new, and a look at
        each log that has no end yet. Raises MissingSetError, and the errors of the database.
        """
        known = tables.folded()
        for instance in self._logs.instances():
            before = known.get(instance)
            if before is None or not before.done:
                since = self._log(tables, instance, before.entries if before else 0, since)
        return since

    def _log(self, tables: ChangeTables, instance: str, first: int, since: Since) -> Since:
        log = self._logs.get(instance)
        with log.reader() as reader:
            at = reader.checkpoint()
            if at is None or at.size <= first:
                return since
            delivered = _Delivered(self._scenes, log, since)
            for number, data, names in reader.named_bundles(
                first // tiles.WIDTH, -(-at.size // tiles.WIDTH)
            ):
                start = number * tiles.WIDTH
                for place, text in enumerate(tiles.unbundle(data)):
                    if first <= start + place < at.size and text.startswith(_SOME):
                        delivered.add(text, names[place * SIZE : (place + 1) * SIZE])
                if number % _BUNDLES == _BUNDLES - 1:
                    delivered.store(tables)
            delivered.store(tables)
        tables.fold(instance, at.origin, at.size)
        return delivered.since


class _Delivered:
    """What some entries of one read log say."""

    def __init__(self, scenes: Mapping[str, Scene], log: ReadLogDatabase, since: Since) -> None:
        self._scenes, self._sets, self.since = scenes, CustomerSets(log.folder), since
        self._receipts: dict[tuple[bytes, str, str, Fields], Receipt] = {}
        self._named: dict[tuple[str, str, Fields], NamedSet] = {}

    def add(self, text: bytes, pseudonym: bytes) -> None:
        entry = msgspec.json.decode(text)
        scene = self._scenes.get(entry["scene"])
        if scene is None or scene.locked:
            return  # nothing that a customer does changes what may be read there
        one = text.startswith(_ONE)
        fields = _delivered(entry, scene) if one else tuple(sorted(entry["fields"]))
        if not fields or (not one and "answered" not in entry):
            return
        service, size = entry["service"], int(entry["consent"]["size"])
        minute = consent_bits.minute(datetime.fromisoformat(entry["at"]))
        self.since = self.since.or_earlier(size, minute)
        if one:
            key = pseudonym, service, scene.id, fields
            before = self._receipts.get(key)
            latest = max(size, before.ledger_size if before else 0)
            self._receipts[key] = Receipt(*key, fields, latest)
        else:
            self._add_set(service, scene.id, fields, size, entry["answered"])

    def _add_set(self, service: str, scene: str, fields: Fields, size: int, digest: str) -> None:
        stored = self._sets.get(digest)
        members = number_sets.bitmap(stored)
        key = service, scene, fields
        if (before := self._named.get(key)) is not None:
            members, size = _union(before.members, members), max(size, before.ledger_size)
        self._named[key] = NamedSet(*key, size, members)

    def store(self, tables: ChangeTables) -> None:
        """Write what was added since the last call."""
        tables.put(self._receipts.values())
        for key, new in self._named.items():
            if (before := tables.named(*key)) is not None:
                members = _union(before.members, new.members)
                size = max(before.ledger_size, new.ledger_size)
                new = replace(new, members=members, ledger_size=size)  # noqa: PLW2901
            tables.put_named(new)
        self._receipts, self._named = {}, {}


def _delivered(entry: Mapping[str, Any], scene: Scene) -> Fields:
    """The fields whose values left; a generalised value is of the coarser field."""
    return tuple(sorted({*_of_views(entry["views"], scene)}))


def _of_views(views: Mapping[str, str], scene: Scene) -> Iterator[str]:
    for name, view in views.items():
        if view == View.PERSONAL:
            yield name
        elif view == View.GENERALISED and name in scene.fields:
            yield scene.fields[name].generalised_by or name


def _union(one: bytes, other: bytes) -> bytes:
    """The union of two bitmaps, the first bit of a byte on top."""
    size = max(len(one), len(other))
    both = int.from_bytes(one.ljust(size, b"\0")) | int.from_bytes(other.ljust(size, b"\0"))
    return both.to_bytes(size)
