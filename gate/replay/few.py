"""The consent state of a few customers at increasing sizes of the ledger, each read by itself.

A replay of what is new concerns few customers. Reading their own instructions, and the company's
public acts, costs the same however many others there are. What concerns everybody, as a table
does, needs `History`.
"""

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Mapping, Sequence

from gate.contracts.scene import Scene
from gate.contracts.versions import Version
from gate.replay.history import History, Stretch
from gate.state.consent_bits import BitsArray
from gate.state.consent_index import ConsentIndex
from gate.state.erased import ErasedIds
from ledger.events.envelope import SubjectErased
from ledger.follower import Follower
from ledger.reader import RecordedEvent

MAX_CUSTOMERS = 256  # whose state is in memory, 150 kB each


class EverybodyNeededError(Exception):
    """An entry rests on the consent of all customers. Use `History`."""


class FewHistory(History):
    """As `History`, for entries about single customers. Raises EverybodyNeededError for others.

    The roots are computed from the ledger's tiles, which `fsck` compares with its entries.
    """

    def _mend_root(self) -> None:
        self.root = self._ledger.root_at(self.size)

    def _opened_states(self, versions: Sequence[Mapping[str, Scene]]) -> list["SingleStates"]:
        public = [*self._ledger.announced()]
        self._coming = iter(public)
        acts = [each for each in public if not isinstance(each.event, SubjectErased)]
        return [SingleStates(scenes, self._ledger, acts) for scenes in versions]


class SingleStates:
    """The consent bits of single customers: what of `ConsentIndex` a replay asks for."""

    def __init__(
        self, scenes: Mapping[str, Scene], ledger: Follower, public: Sequence[RecordedEvent]
    ) -> None:
        self._ledger, self._public_acts = ledger, public
        self._erased = ErasedIds.of(ledger)
        self._public = ConsentIndex(scenes)  # after the public acts alone
        self._customers: OrderedDict[str, tuple[ConsentIndex, list[RecordedEvent]]] = OrderedDict()

    @property
    def scenes(self) -> Mapping[str, Scene]:
        return self._public.scenes

    @property
    def published(self) -> Mapping[str, Version]:
        return self._public.published

    def catch_up(self, stretch: Stretch) -> None:
        self._public.catch_up(stretch)

    def stale(self, scene: str, minute: int) -> int:
        return self._public.stale(scene, minute)

    def bits_and_entry(self, scene: str, subject: str) -> tuple[int, int | None]:
        """See `ConsentIndex.bits_and_entry`."""
        if (known := self._customers.get(subject)) is None:
            known = self._customers[subject] = self._read(subject)
            if len(self._customers) > MAX_CUSTOMERS:
                self._customers.popitem(last=False)
        state, acts = known
        if state.size < (size := self._public.size):
            lo, hi = (bisect_left(acts, each, key=_index) for each in (state.size, size))
            state.catch_up(Stretch(size, acts[lo:hi]))
        return state.bits_and_entry(scene, subject)

    def all_bits(self, _scene: str) -> BitsArray:
        raise EverybodyNeededError

    def _read(self, subject: str) -> tuple[ConsentIndex, list[RecordedEvent]]:
        acts = [*self._public_acts, *self._ledger.history(subject)]
        return ConsentIndex(self.scenes, self._erased), sorted(acts, key=_index)


def _index(recorded: RecordedEvent) -> int:
    return recorded.index
