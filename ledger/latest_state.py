"""Every customer's latest state, folded from their instructions, and its place in the map.

The newest few are held in memory; of others all that was said is read again, and must add up to
what the map holds: an instruction that was removed from the store is not overlooked.
"""

from collections import OrderedDict
from dataclasses import dataclass
from hashlib import sha256

from ledger.errors import CorruptLogError
from ledger.events import envelope, reducer, state_document
from ledger.events.envelope import Instruction
from ledger.events.reducer import ConsentState
from ledger.reader import Reader
from ledger.statemap import map_proof
from ledger.statemap.map_log import StateLog
from ledger.statemap.map_proof import StateOpening
from ledger.vault import commitments
from ledger.vault.vault import Vault

HELD = 100_000  # customers in memory: about 200 MB with all scenes granted
_SALT = b"sovereign/state-salt/v1\x00"


@dataclass(frozen=True, slots=True)
class CustomerState:
    """A customer's state, and the label at which it stands in the map (none before the first)."""

    state: ConsentState
    label: bytes = b""

    def after(self, instruction: Instruction, data: bytes, index: int) -> "CustomerState":
        """The state after one more instruction, whose canonical bytes are `data`."""
        state = reducer.apply(self.state, instruction, index, sha256(data).digest())
        return CustomerState(state, self.label or map_proof.label(data))


class LatestStates:
    """Not thread-safe: the ledger that owns it holds its lock."""

    def __init__(self, reader: Reader, keys: Vault, states: StateLog) -> None:
        self._reader = reader
        self._vault = keys
        self._states = states
        self._held: OrderedDict[str, CustomerState] = OrderedDict()

    def of(self, subject: str) -> CustomerState:
        """The subject's latest state; that of version 0 if nothing was ever said.

        Raises CorruptLogError unless it is the one in the map.
        """
        if (held := self._held.get(subject)) is not None:
            self._held.move_to_end(subject)
            return held
        held = self.folded(subject)
        if not self.stands(held):
            raise CorruptLogError("a customer's events do not add up to the state map; run fsck")
        self.keep({subject: held})
        return held

    def folded(self, subject: str) -> CustomerState:
        """What everything that was said adds up to, whatever the map says."""
        key = self._vault.key(subject)
        held = CustomerState(ConsentState(subject), commitments.label(key) if key else b"")
        for said in self._reader.history(subject):
            held = held.after(said.event, envelope.encode(said.event), said.index)
        return held

    def stands(self, held: CustomerState) -> bool:
        """Whether it is what the map holds. Nothing is known of who never spoke."""
        return not held.label or self._states.value(held.label) == self.shown(held).value

    def keep(self, newer: dict[str, CustomerState]) -> None:
        self._held.update(newer)
        for subject in newer:
            self._held.move_to_end(subject)
        while len(self._held) > HELD:
            self._held.popitem(last=False)

    def forget(self, subject: str) -> None:
        self._held.pop(subject, None)

    def shown(self, held: CustomerState) -> StateOpening:
        """What the map commits to. Raises KeyError if there is no data key."""
        if (key := self._vault.key(held.state.subject)) is None:
            raise KeyError("the data key was destroyed")
        return shown(held.state, key, self._states.log.origin)


def shown(held: ConsentState, data_key: bytes, origin: str) -> StateOpening:
    """What the map beside a log holds of a state, given the name of the state log.

    The salt comes from the customer's data key, so that erasure destroys it too.
    """
    tag = commitments.reading_tag(data_key, origin, held.seq)
    return StateOpening(state_document.document(held), sha256(_SALT + tag).digest())
