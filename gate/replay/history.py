"""The consent state and active plans at increasing sizes of the consent ledger.

A `History` only moves forward. It applies the ledger once for all versions of the contracts, since
an entry of a read log may rest on a contract that has been replaced since.
"""

from base64 import b64encode
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

from gate.contracts.scene import Population, Scene, statistics
from gate.contracts.versions import Version
from gate.policy import cedar
from gate.policy.cedar import CedarPolicy
from gate.policy.compiled import Plan, compile_plan
from gate.reads import releases
from gate.state.consent_bits import BitsArray
from gate.state.consent_index import ConsentIndex
from gate.state.erased import ErasedIds
from ledger.events.envelope import EntryErased, SubjectErased, SyntheticReleased
from ledger.follower import Follower
from ledger.reader import CHUNK, RecordedEvent
from ledger.tlog.compact_range import Frontier
from ledger.tlog.merkle import Hash
from synthetic.fitting.release import MalformedReleaseError, Release

MAX_PLANS = 4096  # cached (service, scene) pairs; a limit, since logged names can be made up


@dataclass(frozen=True, slots=True)
class ReplayGrounds:
    """What decisions rest on besides the ledger: current and earlier contracts and policies."""

    scenes: Mapping[str, Scene]
    policy: CedarPolicy
    earlier: Sequence[Scene] = ()  # replaced contract versions, newest first
    earlier_policies: Sequence[CedarPolicy] = field(default=())

    @property
    def policies(self) -> list[CedarPolicy]:
        return [self.policy, *self.earlier_policies]

    def versions(self) -> list[Mapping[str, Scene]]:
        """The active contracts; then each contract's previous version; and so on."""
        others = {each.digest: each for each in self.earlier}
        rows: dict[str, list[Scene]] = {scene: [it] for scene, it in self.scenes.items()}
        for each in others.values():
            if all(each.digest != known.digest for known in rows.setdefault(each.id, [])):
                rows[each.id].append(each)
        older = range(1, max(map(len, rows.values()), default=1))
        last = [{s: row[min(n, len(row) - 1)] for s, row in rows.items()} for n in older]
        gone = {scene: row[0] for scene, row in rows.items() if scene not in self.scenes}
        return [self.scenes, *last, *([gone] if gone else [])]


@dataclass(frozen=True, slots=True)
class ActiveState:
    """A plan, and the consent state under the contracts it was compiled from."""

    plan: Plan
    state: "PastState"


class PastState(Protocol):
    """What a replay asks of the consent state at one ledger size."""

    @property
    def scenes(self) -> Mapping[str, Scene]: ...
    @property
    def published(self) -> Mapping[str, Version]: ...
    def catch_up(self, stretch: "Stretch", /) -> None: ...
    def stale(self, scene: str, minute: int) -> int: ...
    def bits_and_entry(self, scene: str, subject: str) -> tuple[int, int | None]: ...
    def all_bits(self, scene: str, /) -> BitsArray: ...


class History:
    """The ledger's state after `size` entries, and the plans active at that size."""

    def __init__(self, ledger: Follower, grounds: ReplayGrounds) -> None:
        self.size, self.root = 0, ""
        self.max_size = ledger.size  # the ledger's size when the replay began
        self._ledger, self._policies = ledger, grounds.policies
        self._coming: Iterator[RecordedEvent] = iter(())
        self._states = self._opened_states(grounds.versions())
        self._next: RecordedEvent | None = next(self._coming, None)
        self._frontier = Frontier()
        self._hashes: list[Hash] = []  # leaf hashes from the frontier on
        self._releases: dict[str, list[_Announced]] = {}
        self._plans: dict[tuple[str, str], dict[str, ActiveState]] = {}
        self._offered: dict[tuple[str, str, str], frozenset[str]] = {}
        self._known = frozenset(scene for state in self._states for scene in state.scenes)
        self._mend_root()

    def advance(self, size: int) -> None:
        """Move forward to `size`, between the current size and `max_size`."""
        if size == self.size:
            return
        stretch = Stretch(size, [*self._until(size)])
        for state in self._states:
            state.catch_up(stretch)
        self.size = size
        self._mend_root()

    def knows(self, scene: str) -> bool:
        """Whether a contract of this scene was known at the current size."""
        return scene in self._states[0].published or (
            scene in self._known and not self._states[0].published
        )

    def active(self, service: str, scene: str, digest: str) -> ActiveState | None:
        """The plan with this digest, if the contracts, policies and releases of then give it."""
        if (service, scene) not in self._plans:
            if len(self._plans) >= MAX_PLANS:
                self._plans.clear()
            self._plans[service, scene] = dict(self._compiled(service, scene))
        return self._plans[service, scene].get(digest)

    def erased_since(self) -> int:
        """How many customers were erased after this size: what they granted is unknown."""
        subjects, _ = self._erasures
        return len(subjects) - bisect_left(subjects, self.size)

    def entries_erased_since(self) -> bool:
        """Whether an instruction below this size was erased later."""
        return any(entry < self.size <= at for entry, at in self._erasures[1])

    @cached_property
    def _erasures(self) -> tuple[list[int], list[tuple[int, int]]]:
        """The entries that erase a customer, and those that erase an instruction, with which."""
        subjects, entries = list[int](), list[tuple[int, int]]()
        for index, event in ((each.index, each.event) for each in self._ledger.announced()):
            if isinstance(event, SubjectErased):
                subjects.append(index)
            elif isinstance(event, EntryErased):
                entries.append((event.entry, index))
        return subjects, entries

    def _opened_states(self, versions: Sequence[Mapping[str, Scene]]) -> Sequence[PastState]:
        """The states of no entry, and in `_coming` the entries that they rest on."""
        self._coming = self._ledger.follow(0)
        erased = ErasedIds.of(self._ledger)
        return [ConsentIndex(scenes, erased) for scenes in versions]

    def _until(self, size: int) -> Iterator[RecordedEvent]:
        while self._next is not None and self._next.index < size:
            event = self._next.event
            if isinstance(event, SyntheticReleased):
                self._releases.setdefault(event.scene, []).append(_Announced(event))
                self._plans.clear()
            if not isinstance(event, SubjectErased):  # their instructions no longer decrypt
                yield self._next
            self._next = next(self._coming, None)

    def _mend_root(self) -> None:
        while self._frontier.size < self.size:
            first = self._frontier.size
            if not self._hashes:
                self._hashes = self._ledger.leaf_hashes(first, min(first + CHUNK, self.max_size))
            count = min(self.size - first, len(self._hashes))
            self._frontier.append(self._hashes[:count])
            del self._hashes[:count]
        self.root = b64encode(self._frontier.root()).decode()

    def _compiled(self, service: str, scene: str) -> Iterator[tuple[str, ActiveState]]:
        for state in reversed(self._states):  # of two states of one contract, use the newer
            if (contract := state.scenes.get(scene)) is None:
                continue
            for rules in self._policies:
                admitted = contract.admits(service)  # otherwise Cedar need not be evaluated
                offered = self._offers(rules, contract, service) if admitted else ()
                for release, anchor, lacking in self._served(contract):
                    plan = compile_plan(
                        service,
                        contract,
                        offered=offered,
                        release=release,
                        anchor=anchor,
                        policy=rules.digest,
                        lacking=lacking,
                    )
                    yield plan.digest, ActiveState(plan, state)

    def _served(self, contract: Scene) -> Iterator[tuple[str | None, str | None, frozenset[str]]]:
        """Each release that may have answered, the anchor of its tables, and what it lacks."""
        announced = self._releases.get(contract.id, [])
        for counted in self._counted(contract):
            for count in range(len(announced) + 1):
                own = [each.release for each in announced[:count]]
                anchor = releases.anchor(contract, own, counted)
                last = announced[count - 1] if count else None
                lacking = releases.lacking(contract, last.release if last else None)
                yield last.id if last else None, anchor.id if anchor else None, lacking

    def _counted(self, contract: Scene) -> Iterator[Release | None]:
        """Each release for statistics on whose counts the tables of a scene may rest, and none."""
        yield None
        if contract.population is not Population.NOT_OBJECTING:
            return
        for state in self._states:
            counting = statistics(state.scenes)
            for each in self._releases.get(counting.id, []) if counting else ():
                yield each.release

    def _offers(self, rules: CedarPolicy, contract: Scene, service: str) -> frozenset[str]:
        key = rules.digest, contract.digest, service
        if key not in self._offered:
            self._offered[key] = cedar.offered(rules, contract, service)
        return self._offered[key]


@dataclass(frozen=True)
class _Announced:
    """A release as announced in the log."""

    event: SyntheticReleased

    @property
    def id(self) -> str:
        return self.event.release

    @cached_property
    def release(self) -> Release | None:
        """The release; None if its body cannot be parsed, in which case no gate served it."""
        try:
            return Release.from_body(self.event.body)
        except MalformedReleaseError:
            return None


@dataclass(frozen=True, slots=True)
class Stretch:
    """A slice of the ledger up to `size`, for states that have applied everything before it."""

    size: int
    entries: Sequence[RecordedEvent]

    def follow(self, since: int) -> Iterator[RecordedEvent]:
        return (each for each in self.entries if each.index >= since)
