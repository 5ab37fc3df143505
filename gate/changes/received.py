"""Folds the read logs: which service received which fields of which customer.

An entry is durable before its answer leaves, so whoever received something is found here, also
after a crash. Of a read by name, the list of its entry says what each customer was answered.
Entries of evaluations and tables are skipped: an evaluation delivers no value, and a
table no id. An entry counts as delivered, whatever is known of its delivery.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import msgspec

from gate.contracts.scene import Scene
from gate.decision.decide import View
from gate.readlog import batch_entry
from gate.readlog.acts import AnnouncedActs, ReadLogActs, instance_of
from gate.readlog.customer_sets import CustomerSets
from gate.state import consent_bits
from gate.storage.changes import SIZE, ChangeTables, Fields, NamedSet, ReceivedFields
from gate.storage.read_log import ReadLogDatabase, ReadLogDatabases, ReadLogReader
from ledger.tlog import tiles
from ledger.vault import number_sets

_ONE, _ROWS, _SEARCH = b'{"action":"read",', b'{"action":"rows",', b'{"action":"search",'
_NAMED = b'{"action":"named",'
_SOME = (_NAMED, _ONE, _ROWS, _SEARCH)
_BUNDLES = 64  # that are folded at once


@dataclass(slots=True)
class FreshReads:
    """What the entries say that were folded just now, before the feed has compared anything.

    `ledger_size`, `minute`: the oldest that one of them rests on, or those that the feed has
    reached. `sets`: of answers with ids that rest on more of the ledger than `reached`.
    """

    reached: int
    ledger_size: int
    minute: int
    sets: list[tuple[int, NamedSet]] = field(default_factory=list)

    def rests_on(self, size: int, minute: int) -> None:
        self.ledger_size = min(self.ledger_size, size)
        self.minute = min(self.minute, minute)

    def latest(self, named: NamedSet, customer: int) -> int:
        """The ledger size of the last of `sets` in which the service got these fields of them."""
        what = named.service, named.scene, named.fields
        return max(
            (
                size
                for size, each in self.sets
                if (each.service, each.scene, each.fields) == what
                and number_sets.contains(each.members, customer)
            ),
            default=0,
        )


class ReadLogFold:
    """Folds all read logs of a data directory. Not thread-safe."""

    def __init__(
        self, logs: ReadLogDatabases, ledger: AnnouncedActs, scenes: Mapping[str, Scene]
    ) -> None:
        self._logs, self._acts, self._scenes = logs, ReadLogActs(ledger), scenes

    def fold(self, tables: ChangeTables, reached: int, minute: int) -> FreshReads:
        """Add what was delivered since the last call, in the caller's transaction.

        `reached`, `minute`: the ledger size and time that the feed has come to. Costs what is new,
        and a look at each log that has no end yet. Raises MissingSetError, and the errors of the
        database.
        """
        known, fresh = tables.folded(), FreshReads(reached, reached, minute)
        ended = {
            instance_of(origin): log.size for origin, log in self._acts.announced() if log.closed
        }
        for instance in self._logs.instances():
            entries = known[instance].entries if instance in known else 0
            if instance not in ended or entries < ended[instance]:
                self._log(tables, instance, entries, fresh)
        return fresh

    def _log(self, tables: ChangeTables, instance: str, first: int, fresh: FreshReads) -> None:
        log = self._logs.get(instance)
        with log.reader() as reader:
            at = reader.checkpoint()
            if at is None or at.size <= first:
                return
            delivered = _Delivered(self._scenes, log, fresh)
            for number, data, names in reader.named_bundles(
                first // tiles.WIDTH, -(-at.size // tiles.WIDTH)
            ):
                start = number * tiles.WIDTH
                for place, text in enumerate(tiles.unbundle(data)):
                    if not first <= start + place < at.size or not text.startswith(_SOME):
                        continue
                    if text.startswith(_NAMED):
                        delivered.add_named(reader, start + place, text)
                    else:
                        delivered.add(text, names[place * SIZE : (place + 1) * SIZE])
                if number % _BUNDLES == _BUNDLES - 1:
                    delivered.store(tables)
            delivered.store(tables)
        tables.fold(instance, at.origin, at.size)


class _Delivered:
    """What some entries of one read log say."""

    def __init__(
        self, scenes: Mapping[str, Scene], log: ReadLogDatabase, fresh: FreshReads
    ) -> None:
        self._scenes, self._sets, self._fresh = scenes, CustomerSets(log.folder), fresh
        self._received: dict[tuple[bytes, str, str, Fields], ReceivedFields] = {}
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
        self._fresh.rests_on(size, minute)
        if one:
            self._add_one(pseudonym, service, scene.id, fields, size)
        else:
            members = number_sets.bitmap(self._sets.get(entry["answered"]))
            self._add_set(NamedSet(service, scene.id, fields, members), size)

    def add_named(self, reader: ReadLogReader, entry: int, text: bytes) -> None:
        """Add the customers of a read by name. Raises MalformedListError."""
        named = batch_entry.batch(text)
        listed = batch_entry.listing(reader.listing(entry), named)
        names = reader.member_names(entry, named.decisions)
        wordings = [batch_entry.wording(each) for each in listed.wordings]
        self._fresh.rests_on(named.consent.size, consent_bits.minute(named.at))
        for place, (_, _, number) in enumerate(listed.decisions):
            wording = wordings[number]
            scene = self._scenes.get(wording.scene)
            if scene is None or scene.locked:
                continue
            if fields := tuple(sorted({*_of_views(wording.views, scene)})):
                pseudonym = names[place * SIZE : (place + 1) * SIZE]
                self._add_one(pseudonym, named.service, scene.id, fields, named.consent.size)

    def _add_one(
        self, pseudonym: bytes, service: str, scene: str, fields: Fields, size: int
    ) -> None:
        key = pseudonym, service, scene, fields
        before = self._received.get(key)
        latest = max(size, before.ledger_size if before else 0)
        self._received[key] = ReceivedFields(*key, fields, latest)

    def _add_set(self, new: NamedSet, size: int) -> None:
        if size > self._fresh.reached:
            self._fresh.sets.append((size, new))
        key = new.service, new.scene, new.fields
        before = self._named.get(key)
        self._named[key] = new if before is None else _union(before, new)

    def store(self, tables: ChangeTables) -> None:
        """Write what was added since the last call."""
        tables.put(self._received.values())
        for key, new in self._named.items():
            before = tables.named(*key)
            tables.put_named(new if before is None else _union(before, new))
            again = [e for e in tables.lost_of(new) if number_sets.contains(new.members, e)]
            tables.put(ReceivedFields(each, *key, new.fields, 0) for each in again)
        self._received, self._named = {}, {}


def _delivered(entry: Mapping[str, Any], scene: Scene) -> Fields:
    """The fields whose values left; a generalised value is of the coarser field."""
    return tuple(sorted({*_of_views(entry["views"], scene)}))


def _of_views(views: Mapping[str, str], scene: Scene) -> Iterator[str]:
    for name, view in views.items():
        if view == View.PERSONAL:
            yield name
        elif view == View.GENERALISED and name in scene.fields:
            yield scene.fields[name].generalised_by or name


def _union(one: NamedSet, other: NamedSet) -> NamedSet:
    """The union of two bitmaps, the first bit of a byte on top."""
    size = max(len(one.members), len(other.members))
    bits = (int.from_bytes(each.members.ljust(size, b"\0")) for each in (one, other))
    return replace(one, members=(next(bits) | next(bits)).to_bytes(size))
