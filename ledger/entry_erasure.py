"""Erase one instruction of a customer, and leave everything else as it is: specs/vault.md, V10.

What is in force must not rest on it: an erased withdrawal would bring back what it withdrew, at the
next replay, in every gate. So the fold without it has to be the fold with it, to the byte. Nor is
an act on keys erased by itself: whether later signatures count rests on it.
"""

from collections.abc import Collection, Sequence

from ledger.events import reducer, state_document
from ledger.events.envelope import FIRST, KeyAct
from ledger.events.reducer import ConsentState
from ledger.latest_state import LatestStates
from ledger.reader import Reader, RecordedInstruction
from ledger.vault.vault import Vault


class ActiveEntryError(ValueError):
    """What is in force rests on the entry. Nothing was erased."""

    def __init__(self, index: int) -> None:
        super().__init__(
            f"entry {index} is the last word on something, or about keys: want one that a later "
            "entry replaced; change what it says first, or erase all of the customer"
        )


class NoSuchEntryError(LookupError):
    """The customer said nothing at this index, or it was erased before. Nothing was erased."""

    def __init__(self, index: int) -> None:
        super().__init__(
            f"want an entry of this customer, found none at {index}: see their history for which"
        )


def erasable(history: Sequence[RecordedInstruction], among: Collection[int]) -> frozenset[int]:
    """Which of these indexes are of entries that nothing in force rests on."""
    held, newest = _folded(history), max((each.index for each in history), default=-1)
    signing = {each.index for each in history if isinstance(each.event.act, KeyAct)}
    free = {*among} - signing - {newest}
    return frozenset(index for index in free if _same(held, _folded(history, index)))


def entry(reader: Reader, latest: LatestStates, keys: Vault, subject: str, index: int) -> None:
    """Erase the subject's entry at `index`. Durable on return.

    Raises NoSuchEntryError, InForceError, and OneHalfError for a key of an earlier form.
    """
    held, history = latest.of(subject), reader.history(subject)
    said = next((each for each in history if each.index == index), None)
    if said is None:
        raise NoSuchEntryError(index)
    if not erasable(history, [index]):
        raise ActiveEntryError(index)
    keys.puncture(subject, said.event.seq, held.state.seq, held.label)


def _folded(history: Sequence[RecordedInstruction], without: int = -1) -> ConsentState:
    held = ConsentState(history[0].event.subject if history else "")
    for each in history:
        if each.index != without and not isinstance(each.event.act, KeyAct):
            held = reducer.apply(held, each.event, each.index, FIRST)
    return held


def _same(one: ConsentState, other: ConsentState) -> bool:
    return state_document.document(one) == state_document.document(other)
