"""Brings the feed up to the ledger and the read logs, in one transaction.

fold      what services received since the last time: gate.changes.received
touch     the customers whom new entries, the time or a signal may have changed
compare   what each service may still have with what it may read now; the difference is its lines

A read that was decided before the feed's position may become known only now: its answer was under
way, or its log is older than the feed. Then entries from the read's position on are looked at
again, and only compared, so that no line is written twice.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import sha256
from itertools import islice
from typing import Protocol

from gate.changes import lines, pseudonyms, touched
from gate.changes.lines import Instructed, Now, Place
from gate.changes.received import FreshReads, ReadLogFold
from gate.decision import decide
from gate.policy.compiled import Plan, compile_plan
from gate.readlog.acts import AnnouncedActs
from gate.readlog.writer import EntryTagger
from gate.reads.point import Gate
from gate.state import consent_bits
from gate.state.followed import ConsentEntry, Followed
from gate.storage.changes import (
    ChangeLine,
    ChangeTables,
    FeedPosition,
    Fields,
    NamedSet,
    ReceivedFields,
)
from ledger.errors import CorruptLogError
from ledger.events.envelope import Instruction, SignalReported
from ledger.vault import number_sets

STILL_S = 60  # a note of an erased customer stays so long, for answers that were under way
CHUNK = 256  # entries, or customers, that are looked at together

_Key = tuple[bytes | int, str, str, Fields]


class FeedLedger(Followed, AnnouncedActs, EntryTagger, Protocol):
    """The consent log and its key store, as the feed reads them."""

    def numbers(self, subjects: Sequence[str], /) -> Mapping[str, int]: ...
    def named(self, numbers: Sequence[int], /) -> Mapping[int, str]: ...
    def subjects(self) -> list[str]: ...


@dataclass(frozen=True, slots=True)
class FeedSources:
    """What the feed is derived from."""

    gate: Gate
    ledger: FeedLedger
    fold: ReadLogFold
    plans: Mapping[str, Plan]  # by scene: what customers allow, whatever service asks
    terms: str  # digest of the contracts

    @classmethod
    def of(cls, gate: Gate, ledger: FeedLedger, fold: ReadLogFold) -> "FeedSources":
        plans = {
            name: compile_plan("", scene, offered=(), release=None)
            for name, scene in gate.scenes.items()
        }
        digests = sorted((name, scene.digest) for name, scene in gate.scenes.items())
        terms = sha256(repr(digests).encode()).hexdigest()
        return cls(gate, ledger, fold, plans, terms)


@dataclass(slots=True)
class Advance:
    """One transaction of the feed. `erased`: whether what was stored of a customer was removed."""

    sources: FeedSources
    tables: ChangeTables
    here: FeedPosition
    at: datetime
    erased: bool = False
    _size: int = 0
    _origins: list[str] = field(default_factory=list)
    _fresh: FreshReads = field(init=False)
    _sets: list[NamedSet] | None = None  # read when they are first needed
    _reported: bool = False

    def run(self) -> FeedPosition:
        """Returns the position reached. Raises CorruptLogError if the ledger has become shorter."""
        sources, before = self.sources, self.here
        # Logs first: a read that is found now rests on a ledger that has at most the size below.
        self._fresh = sources.fold.fold(self.tables, before.ledger_size, before.minute)
        self._size, minute = sources.ledger.size, consent_bits.minute(self.at)
        if self._size < before.ledger_size:
            raise CorruptLogError(
                f"the feed followed {before.ledger_size} entries of the ledger, which now has "
                f"{self._size}: restore the newest ledger, or remove the feed's database"
            )
        self._origins = [each.origin for each in self.tables.folded().values()]
        self._departed()
        self._follow()
        stale = self._by_time(minute)
        reached = replace(
            self.here,
            ledger_size=self._size,
            minute=max(minute, before.minute),
            terms=sources.terms,
            stale=stale,
        )
        if reached != before:
            self.tables.move(reached)
        return reached

    @property
    def _named(self) -> list[NamedSet]:
        if self._sets is None:
            self._sets = self.tables.every_named()
        return self._sets

    def _follow(self) -> None:
        """Apply the entries up to the size that was read."""
        entries = self.sources.ledger.follow(self._fresh.ledger_size)
        upto = (each for each in entries if each.index < self._size)
        while chunk := [*islice(upto, CHUNK)]:
            self._chunk(chunk)

    def _chunk(self, chunk: Sequence[ConsentEntry]) -> None:
        given: list[tuple[str, Instructed]] = []
        for each in chunk:
            match each.event:
                case Instruction(subject=subject, at=at, act=act):
                    given.append((subject, Instructed(each.index, at, act)))
                case SignalReported():
                    self._reported = True
                case _:  # other public acts change nobody's consent
                    pass
        known = self._received(dict.fromkeys(subject for subject, _ in given))
        made: list[ChangeLine] = []
        for subject, instructed in given:
            if subject in known and instructed.index >= self.here.ledger_size:
                made += known[subject].instructed(instructed, self.sources)
        # The gate's state is the newest: a scene that a later entry changed is compared there.
        upto = chunk[-1].index + 1
        last = {subject: instructed for subject, instructed in given if subject in known}
        for subject, instructed in last.items():
            size = instructed.index + 1
            made += self._compared(subject, known[subject], size, instructed.at, upto)
        self._store(known.values(), sorted(made, key=lambda each: each.ledger_size))

    def _by_time(self, minute: int) -> touched.Stale:
        """Compare whom time and signals may have changed; everybody, under other contracts.

        Returns which signals are too old.
        """
        sources = self.sources
        others, stale = touched.customers(
            sources.gate, self._fresh.minute, minute, self.here.stale, reported=self._reported
        )
        if self.here.terms != sources.terms and self.tables.any():
            others = sources.ledger.subjects()
        names = iter(others)
        while some := [*islice(names, CHUNK)]:
            known = self._received(some)
            made = [
                line
                for subject, theirs in known.items()
                for line in self._compared(subject, theirs, self._size, self.at)
            ]
            self._store(known.values(), made)
        return stale

    def _departed(self) -> None:
        """Tell the services that received something of a customer whose data key is gone."""
        seconds = int(self.at.timestamp())
        for each in self.tables.departing():
            if self.sources.ledger.named([each.customer]):
                continue  # the erasure has not come so far yet
            single = {one.service for one in self.tables.received(each.pseudonyms)}
            among = {
                named.service
                for named in self._named
                if number_sets.contains(named.members, each.customer)
            }
            due = sorted(single | (among - {*each.notified}))
            made = [lines.erased(name, each.hash, self._size, self.at) for name in due]
            self.here = self.tables.append(made, self.here, seconds)
            self.tables.forget(each)
            notified, noticed = tuple(sorted({*each.notified, *due})), each.since or seconds
            if seconds - noticed < STILL_S:
                self.tables.put_departing(replace(each, notified=notified, since=noticed))
            else:
                self.tables.departed(each.customer)
            self.erased = True

    def _received(self, subjects: Iterable[str]) -> "dict[str, _Customer]":
        """What services received of those of these customers of whom they received anything."""
        numbers = self.sources.ledger.numbers([*subjects])
        names: dict[bytes, str] = {}
        for subject in numbers:
            theirs = pseudonyms.every(self.sources.ledger, subject, self._origins)
            names.update(dict.fromkeys(theirs, subject))
        by_subject: dict[str, list[ReceivedFields]] = defaultdict(list)
        for each in self.tables.received(names):
            if each.scene in self.sources.plans:
                by_subject[names[each.customer]].append(each)  # type: ignore[index] # a pseudonym
        lost = {_key(each): each for each in self.tables.lost(numbers.values())}
        for subject, number in numbers.items():
            by_subject[subject] += self._among(number, lost)
        return {
            subject: _Customer(numbers[subject], theirs)
            for subject, theirs in by_subject.items()
            if theirs
        }

    def _among(self, number: int, lost: Mapping[_Key, ReceivedFields]) -> Iterator[ReceivedFields]:
        """What services received of the customer in answers with ids."""
        for each in self._named:
            if each.scene in self.sources.plans and number_sets.contains(each.members, number):
                whole = ReceivedFields(
                    number, each.service, each.scene, each.fields, each.fields, 0
                )
                size = self._fresh.latest(each, number)
                yield replace(lost.get(_key(whole), whole), ledger_size=size)

    def _compared(
        self,
        subject: str,
        theirs: "_Customer",
        size: int,
        at: datetime,
        upto: int | None = None,
    ) -> list[ChangeLine]:
        """`upto`: leave out scenes that an entry from there on changed."""
        gate, minute = self.sources.gate, consent_bits.minute(self.at)
        now: dict[str, Now] = {}
        with gate.lock:
            state, _ = gate.current(self._size)
            for scene in theirs.scenes:
                bits, index = gate.consent(state, scene, subject)
                if upto is not None and index is not None and index >= upto:
                    continue
                plan, stale = self.sources.plans[scene], state.stale(scene, minute)
                readable = decide.personal(plan, bits, minute, stale)
                now[scene] = Now(plan, bits, readable, minute, stale, size, at)
        return theirs.compared(now)

    def _store(self, customers: "Iterable[_Customer]", made: Sequence[ChangeLine]) -> None:
        self.tables.put(one for each in customers for one in each.changed.values())
        self.here = self.tables.append(made, self.here, int(self.at.timestamp()))


class _Customer:
    """What services received of one customer, while entries and comparisons change it."""

    def __init__(self, number: int, received: Iterable[ReceivedFields]) -> None:
        self._number, self._received = number, {_key(each): each for each in received}
        self._renewed: set[Place] = set()
        self.changed: dict[_Key, ReceivedFields] = {}

    @property
    def scenes(self) -> set[str]:
        return {each.scene for each in self._received.values()}

    def instructed(self, each: Instructed, sources: FeedSources) -> list[ChangeLine]:
        """Apply what an instruction takes away by itself, and note what it grants again."""
        self._renewed |= lines.renewed(self._received.values(), each)
        changed, made = lines.after(
            self._received.values(), each, self._number, sources.gate.scenes
        )
        self._put(changed)
        return made

    def compared(self, now: Mapping[str, Now]) -> list[ChangeLine]:
        changed, made = lines.compared(self._received.values(), now, self._renewed, self._number)
        self._put(changed)
        return made

    def _put(self, changed: Iterable[ReceivedFields]) -> None:
        for each in changed:
            self._received[_key(each)] = self.changed[_key(each)] = each


def _key(each: ReceivedFields) -> _Key:
    return each.customer, each.service, each.scene, each.fields
