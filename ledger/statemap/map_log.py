"""The state log: the map of latest states and the log of its roots, in the consent log's database.

Each transaction of the consent log also appends an entry to the state log: the size and root of the
consent log, the root of the map of every customer's latest state at that size, and the key of the
map's labels. So none of them is ever durable without the others. See specs/statemap.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ledger.statemap import map_proof, transition
from ledger.statemap.labels import Labels
from ledger.statemap.map_proof import StateOpening, StateProof, StateRoot
from ledger.statemap.transition import StateVersion
from ledger.statemap.verifiable_map import Label, MapChange, StateMap, Value
from ledger.storage.interface import StorageBatch
from ledger.storage.sqlite import StateStore
from ledger.tlog import signed_note
from ledger.tlog.merkle import Hash
from ledger.tlog.signed_note import Signing
from ledger.tlog.writer import Log, Staged
from ledger.witness.client import Witnesses
from ledger.witness.cosigned_checkpoint import CosignedCheckpoints


@dataclass(frozen=True, slots=True)
class MapUpdate:
    """The next entry and the changed map, before anything is stored."""

    batch: StorageBatch
    staged: Staged
    change: MapChange
    entry: StateRoot


class StateLog:
    """The state log and its map. Not thread-safe: the caller holds the ledger's lock."""

    def __init__(
        self, store: StateStore, witnesses: Witnesses, labels: Labels, *signers: Signing
    ) -> None:
        self.labels = labels
        self.log = Log(store, signers[0].name, *signers)
        self.cosigned = CosignedCheckpoints(self.log, store, witnesses)
        self._map = StateMap(store.roots(), store.records)
        self._newest = self._stored()

    def newest(self) -> StateRoot:
        """The newest entry; for an empty log, that of an empty map."""
        return self._newest

    def stage(self, size: int, root: Hash, versions: Mapping[Label, StateVersion]) -> MapUpdate:
        """Compute the next entry and map for a consent log of `size` entries with this root.

        `versions`: the changed states by label. Nothing is stored.
        """
        change = self._map.change({label: each.value for label, each in versions.items()})
        entry = StateRoot(size, root, change.root, self.labels.public)
        staged = self.log.stage([bytes(entry)])
        roots = change.nodes[-1]
        buckets = {number: (roots[number], data) for number, data in change.buckets.items()}
        record = {self.log.size: transition.record(versions)} if versions else {}
        batch = replace(staged.batch, buckets=buckets, transitions=record)
        return MapUpdate(batch, staged, change, entry)

    def settle(self, update: MapUpdate) -> None:
        """Update the map and log in memory to the staged ones, after they were stored."""
        self._map.apply(update.change)
        self.log.settle(update.staged)
        self._newest = update.entry

    def export(self, folder: Path) -> None:
        """Write the public tile directory. Raises RolledBackError, QuorumError."""
        self.log.export(folder, self.cosigned.newest())

    def value(self, label: Label) -> Value | None:
        return self._map.value(label)

    def prove(self, subject: str, opening: StateOpening | None) -> StateProof:
        """A proof that `opening` is the subject's latest state, or (None) that there is none.

        The caller makes sure that `opening` matches the value in the map.
        """
        index, signed = self.log.size - 1, signed_note.parse(self.log.checkpoint())
        path = tuple(self.log.prove_inclusion(index))
        in_map, vrf = self._map.prove(self.labels.of(subject)), self.labels.prove(subject)
        return StateProof(opening, in_map, self._newest, index, path, signed, vrf)

    def _stored(self) -> StateRoot:
        size = self.log.size
        return map_proof.newest([*self.log.entries(max(size - 1, 0), size)])
