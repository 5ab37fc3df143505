"""Cache of customers' latest states.

A state that is not cached is computed from all of the customer's instructions and compared with
the value in the verifiable map, so an instruction that was removed from the store is noticed.
"""

from collections import OrderedDict
from hashlib import sha256

from ledger.errors import CorruptLogError
from ledger.events import envelope, reducer, state_document
from ledger.events.envelope import Instruction
from ledger.events.reducer import ConsentState
from ledger.reader import Reader
from ledger.statemap.map_log import StateLog
from ledger.statemap.map_proof import StateOpening
from ledger.statemap.verifiable_map import Label
from ledger.vault import commitments
from ledger.vault.vault import Vault

MAX_CACHED = 100_000  # customers; about 200 MB with all scenes granted
_SALT = b"sovereign/state-salt/v1\x00"


def after(state: ConsentState, instruction: Instruction, data: bytes, index: int) -> ConsentState:
    """The state after one more instruction, whose canonical bytes are `data`."""
    return reducer.apply(state, instruction, index, sha256(data).digest())


class LatestStates:
    """The latest state of each customer. Not thread-safe: the caller holds the ledger's lock."""

    def __init__(self, reader: Reader, keys: Vault, states: StateLog) -> None:
        self._reader = reader
        self._vault = keys
        self._states = states
        self._cached: OrderedDict[str, ConsentState] = OrderedDict()

    def of(self, subject: str) -> ConsentState:
        """The subject's latest state; an empty one of version 0 if there is no instruction.

        Raises CorruptLogError unless it matches the map.
        """
        if (latest := self._cached.get(subject)) is not None:
            self._cached.move_to_end(subject)
            return latest
        if self._states.value(self.label(subject)) is None:  # there never was an instruction
            return ConsentState(subject)
        latest = self.folded(subject)
        if not self.matches_map(latest):
            raise CorruptLogError(
                "the state computed from a customer's stored events is not the one in the map; "
                "run fsck"
            )
        self.remember({subject: latest})
        return latest

    def folded(self, subject: str) -> ConsentState:
        """The state computed from the subject's instructions, not compared with the map."""
        latest = ConsentState(subject)
        for each in self._reader.history(subject):
            latest = after(latest, each.event, envelope.encode_stored(each.event), each.index)
        return latest

    def matches_map(self, latest: ConsentState) -> bool:
        """Whether the map has this state's value. True for a customer without instructions.

        The map may still have the last state of a customer who was erased.
        """
        if not latest.seq:
            return True
        return self.opening_of(latest).is_of(self._states.value(self.label(latest.subject)))

    def label(self, subject: str) -> Label:
        """The subject's label in the map."""
        return self._states.labels.of(subject)

    def remember(self, newer: dict[str, ConsentState]) -> None:
        self._cached.update(newer)
        for subject in newer:
            self._cached.move_to_end(subject)
        while len(self._cached) > MAX_CACHED:
            self._cached.popitem(last=False)

    def forget(self, subject: str) -> None:
        self._cached.pop(subject, None)

    def opening_of(self, latest: ConsentState) -> StateOpening:
        """The opening of the state's map value. Raises KeyError if there is no data key."""
        if (key := self._vault.key(latest.subject)) is None:
            raise KeyError("the data key was destroyed")
        return state_opening(latest, key, self._states.log.origin)


def state_opening(state: ConsentState, data_key: bytes, origin: str) -> StateOpening:
    """The opening (state document and salt) of a state's value in the map.

    `origin`: of the state log. The salt is derived from the customer's data key, so that erasing
    the key destroys the salt as well.
    """
    tag = commitments.read_log_tag(data_key, origin, state.seq)
    return StateOpening(state_document.document(state), sha256(_SALT + tag).digest())
