"""Erase one instruction of a customer and keep everything else: specs/vault.md, V10.

The customer's current state must not depend on the erased entry. If a withdrawal could be erased,
the next replay would restore in every gate what it withdrew. So the state computed without the
entry must be identical to the state computed with it. Acts on keys cannot be erased either,
because the validity of later signatures depends on them, nor what ties a customer's numbers
together: whoever is erased under one is erased under all.
"""

from collections.abc import Collection, Sequence

from ledger.events import reducer, state_document
from ledger.events.acts import Merged, Renamed, SourceDeleted, Split
from ledger.events.envelope import FIRST, KeyAct
from ledger.events.reducer import ConsentState
from ledger.latest_state import LatestStates
from ledger.reader import Reader, RecordedInstruction
from ledger.vault.vault import Vault

Numbers = Merged | Renamed | SourceDeleted | Split  # what names another number of the customer


class ActiveEntryError(ValueError):
    """The current state depends on the entry. Nothing was erased."""

    def __init__(self, index: int) -> None:
        super().__init__(
            f"entry {index} determines the customer's current state, is their newest, or is about "
            "keys or another number of theirs, want an entry that a later one superseded: change "
            "that choice first, or erase all of the customer"
        )


class NoSuchEntryError(LookupError):
    """The index has no entry of this customer, or it was erased before. Nothing was erased."""

    def __init__(self, index: int) -> None:
        super().__init__(
            f"entry {index} is not an entry of this customer, or is already erased: want one that "
            "their history lists"
        )


def erasable(history: Sequence[RecordedInstruction], among: Collection[int]) -> frozenset[int]:
    """Those of the indexes in `among` that can be erased without changing the current state."""
    state, newest = _folded(history), max((each.index for each in history), default=-1)
    needed = {each.index for each in history if isinstance(each.event.act, KeyAct | Numbers)}
    free = {*among} - needed - {newest}
    return frozenset(index for index in free if _same(state, _folded(history, index)))


def erase_entry(
    reader: Reader, latest: LatestStates, keys: Vault, subject: str, index: int
) -> None:
    """Erase the subject's entry at `index`. Durable on return.

    Raises NoSuchEntryError, ActiveEntryError, and LegacyDataKeyError for a key in the old format.
    """
    current, history = latest.of(subject), reader.history(subject)
    recorded = next((each for each in history if each.index == index), None)
    if recorded is None:
        raise NoSuchEntryError(index)
    if not erasable(history, [index]):
        raise ActiveEntryError(index)
    keys.puncture(subject, recorded.event.seq, current.seq, latest.label(subject))


def _folded(history: Sequence[RecordedInstruction], without: int = -1) -> ConsentState:
    state = ConsentState(history[0].event.subject if history else "")
    for each in history:
        if each.index != without and not isinstance(each.event.act, KeyAct):
            state = reducer.apply(state, each.event, each.index, FIRST)
    return state


def _same(one: ConsentState, other: ConsentState) -> bool:
    return state_document.document(one) == state_document.document(other)
