"""Bind the map of an earlier version to the customers' ids, once: `sovereign migrate`.

Until then the label of a customer in the map followed from their first instruction. Binding adds
the same values under the labels of the ids, and one entry to the state log, which repeats size and
root of the consent log and is the first to name the key of the labels. Verifiers and audits know
its number from the policy. The earlier labels stay in the map: see specs/statemap.md, S25.
"""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from ledger.bound_logs import UNBOUND
from ledger.errors import CorruptLogError
from ledger.events import envelope
from ledger.events.reducer import ConsentState
from ledger.integrity import start
from ledger.keys import log_keys, map_key
from ledger.keys.log_keys import Keys
from ledger.latest_state import after, state_opening
from ledger.reader import Reader, RecordedInstruction
from ledger.service import Ledger
from ledger.statemap import map_proof
from ledger.statemap.labels import Labels
from ledger.statemap.map_log import StateLog
from ledger.statemap.transition import StateVersion
from ledger.statemap.verifiable_map import Label
from ledger.storage import database
from ledger.storage.log_store import log_store
from ledger.storage.sqlite import LEDGER, SqlStore
from ledger.tlog.writer import Log
from ledger.vault import commitments
from ledger.vault.vault import Vault
from ledger.witness.client import NO_WITNESSES


def bind(home: Path) -> int | None:
    """Bind the map of the ledger in `home`; durable on return. The caller holds the writer's lock.

    Returns the number of customers who have a label now; None if the map was bound before. Raises
    CorruptLogError, and as `Ledger.open` does.
    """
    origin = Ledger.origin_in(home)
    start.require(home, origin)
    with closing(log_store(database.of(home), LEDGER)) as store:
        store.take_lease()
        heads = [each.head() for each in (store, store.state_store())]
        log_keys.end_rotation(home, *(head.note if head else "" for head in heads))
        return _bind(home, store, origin)


def _bind(home: Path, store: SqlStore, origin: str) -> int | None:
    consent, state = (log_keys.read(ring.key) for ring in log_keys.rings(home))
    states_origin = log_keys.STATES.format(origin)
    state_log = Log(store.state_store(), states_origin, *state)
    size = state_log.size
    if map_proof.newest([*state_log.entries(max(size - 1, 0), size)]).vrf is not None:
        if map_key.read(home) is None:
            raise CorruptLogError(UNBOUND)
        return None
    if not size and map_key.listed(home) is not None:
        return None
    labels = map_key.create(home, states_origin, size)
    # Crash here: the key is stored, and no entry names it. The next run goes on with it.
    moved = _moved(home, store, Keys(consent, state, labels), labels) if size else 0
    log_keys.witnesses(home)  # lists the key in the policy
    return moved


def _moved(home: Path, store: SqlStore, signers: Keys, labels: Labels) -> int:
    log = Log(store, signers.consent[0].name, *signers.consent)
    states = StateLog(store.state_store(), NO_WITNESSES, labels, *signers.state)
    with closing(Vault(home / "keys")) as vault:
        vault.complete_index(store.tags)
        versions = dict(_versions(log, store, vault, states))
    staged = log.stage([])
    update = states.stage(log.size, staged.root, versions)
    log.commit(staged, update.batch)
    # Crash before the commit: the map is not bound, and a start says so. After it: it is.
    return len(versions)


def _versions(
    log: Log, store: SqlStore, vault: Vault, states: StateLog
) -> Iterator[tuple[Label, StateVersion]]:
    """The state of each customer who gave an instruction, and their new label."""
    reader = Reader(log, store, vault)
    for subject, key in vault.data_keys():
        if not (history := reader.history(subject)):
            continue
        opening = state_opening(_folded(subject, history), key, states.log.origin)
        if not opening.is_of(states.value(_earlier_label(key, history))):
            raise CorruptLogError(
                "the state computed from a customer's stored events is not the one in the map, so "
                "the map cannot be bound; run fsck with the earlier version"
            )
        yield states.labels.of(subject), opening.version


def _folded(subject: str, history: list[RecordedInstruction]) -> ConsentState:
    state = ConsentState(subject)
    for each in history:
        state = after(state, each.event, envelope.encode_stored(each.event), each.index)
    return state


def _earlier_label(key: bytes, history: list[RecordedInstruction]) -> Label:
    first = envelope.encode_stored(history[0].event)
    return commitments.label(key) or map_proof.unbound_label(first)
