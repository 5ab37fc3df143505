"""Replay the transitions of a map, entry by entry, and name the one that is not justified.

What an entry of the state log may change: the instructions that the consent log gained since the
entry before. Each advances one customer's version by one, so the versions together advance by
their number, and by nothing else. An earlier state, a state that changed without an instruction,
an instruction that the map leaves out, and a history that restarts are all found by counting.

A restart is a value whose version does not go up. So the return of a customer who was erased looks.
The consent log announces erasures, so there are never more restarts than erasures.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from ledger.statemap import transition
from ledger.statemap.map_proof import StateRoot
from ledger.statemap.transition import MalformedTransitionError, StateVersion, Transition
from ledger.statemap.verifiable_map import Label, StateMap, Value
from ledger.tlog.merkle import EMPTY_ROOT


@dataclass(frozen=True, slots=True)
class LogCounts:
    """How many instructions and announced erasures the first entries of a consent log have."""

    instructions: int = 0
    erasures: int = 0


@dataclass(slots=True)
class _Gain:
    """By how much an entry advances the versions; a range where a version before is not known."""

    least: int = 0
    most: int = 0
    restarts: int = 0

    def add(self, least: int, most: int) -> None:
        self.least, self.most = self.least + least, self.most + most


class MapReplay:
    """The map in memory, about 500 bytes a customer; `step` is called for each entry in order."""

    def __init__(self) -> None:
        self._buckets: dict[int, bytes] = {}
        self._map = StateMap({}, self._read)
        self._versions: dict[Label, int | None] = {}  # None: from before there were transitions
        self._last = StateRoot(0, EMPTY_ROOT, EMPTY_ROOT)
        self._counts = LogCounts()
        self._restarts = 0

    def begin(self, entry: StateRoot, base: Mapping[Label, Value], counts: LogCounts) -> str | None:
        """Start from the map of `entry`, whose transitions were not recorded."""
        self._apply(base)
        self._versions = dict.fromkeys(base)
        self._last, self._counts = entry, counts
        if self._map.root != entry.map:
            return "the map that the transitions start from has another root than the entry names"
        return None

    def step(self, entry: StateRoot, data: bytes | None, counts: LogCounts) -> list[str]:
        """What is wrong with the transition to `entry`. `counts`: of the log it names."""
        try:
            changed = transition.parse(data) if data else Transition({})
        except MalformedTransitionError as error:
            return [str(error)]
        if changed.base is not None:
            return ["an earlier map is given after transitions"]
        gain, wrong = self._gain(changed.changes, counts)
        binds = self._last.vrf is None and entry.vrf is not None and self._last.size > 0
        wrong += self._miscounted(gain, counts, binds=binds)
        self._apply({label: each.value for label, each in changed.changes.items()})
        self._versions |= {label: each.version for label, each in changed.changes.items()}
        self._last, self._counts = entry, counts
        return wrong + self._misrooted(entry, given=bool(data))

    @property
    def follows(self) -> bool:
        """Whether the map is that of the last entry, so that the next can be checked."""
        return self._map.root == self._last.map

    def _gain(
        self, changes: Mapping[Label, StateVersion], counts: LogCounts
    ) -> tuple[_Gain, list[str]]:
        gain, wrong = _Gain(), list[str]()
        for label, each in changes.items():
            before = self._versions.get(label, 0)
            if before is None and each.version > 1:
                gain.add(1, each.version)  # it had one at least
            elif before is not None and each.version > before:
                gain.add(each.version - before, each.version - before)
            else:
                gain.add(each.version, each.version)
                self._restarts += 1
                wrong += self._restarted(label, before, each.version, counts)
        return gain, wrong

    def _restarted(
        self, label: Label, before: int | None, version: int, counts: LogCounts
    ) -> list[str]:
        if self._restarts <= counts.erasures:
            return []
        was = "unknown" if before is None else before
        what = f"its history restarts at version {version}, after version {was}"
        announced = f"the consent log has announced {counts.erasures} erasures"
        return [f"label {label.hex()}: {what}; {announced}, want {self._restarts}"]

    def _miscounted(self, gain: _Gain, counts: LogCounts, *, binds: bool) -> list[str]:
        """A finding unless the instructions since the last entry are those of the changes."""
        if binds:  # the earlier values, under their labels: see ledger.map_binding
            if gain.most <= counts.instructions:
                return []
            return [f"it binds {gain.most} instructions, the log has {counts.instructions}"]
        gained = counts.instructions - self._counts.instructions
        if gain.least <= gained <= gain.most:
            return []
        if gained > gain.most:
            advanced, why = gain.most, "the map leaves an instruction out, or shows an older state"
        else:
            advanced, why = gain.least, "a state changed without an instruction"
        log = f"the consent log gained {gained} instructions"
        return [f"the versions advance by {advanced}, and {log}: {why}"]

    def _misrooted(self, entry: StateRoot, *, given: bool) -> list[str]:
        if self._map.root == entry.map:
            return []
        if not given:
            return ["the map changed, and no transition is given"]
        return ["the map's root does not follow from the root before and the given changes"]

    def _apply(self, values: Mapping[Label, Value]) -> None:
        change = self._map.change(values)
        self._buckets |= change.buckets
        self._map.apply(change)

    def _read(self, numbers: Collection[int]) -> Mapping[int, bytes]:
        return {number: self._buckets[number] for number in numbers if number in self._buckets}
