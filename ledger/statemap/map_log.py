"""The map of latest states and the log of its roots, beside a consent log in the same database.

Each commit of the consent log commits an entry of the state log as well: size and root of the
consent log, and the root of the map in which every customer's latest state then stands. There is
no moment at which one of them is durable and the others are not. See specs/statemap.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ledger.statemap import map_proof
from ledger.statemap.map_proof import StateOpening, StateProof, StateRoot
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
    """The next entry and the map behind it; nothing is stored yet."""

    batch: StorageBatch
    staged: Staged
    change: MapChange
    entry: StateRoot


class StateLog:
    """Not thread-safe by itself: the ledger that writes it holds its lock."""

    def __init__(self, store: StateStore, witnesses: Witnesses, *signers: Signing) -> None:
        self.log = Log(store, signers[0].name, *signers)
        self.cosigned = CosignedCheckpoints(self.log, store, witnesses)
        self._map = StateMap(store.roots(), store.records)
        self._newest = self._stored()

    def newest(self) -> StateRoot:
        """The newest entry; that of an empty map if there is none."""
        return self._newest

    def stage(self, size: int, root: Hash, values: Mapping[Label, Value]) -> MapUpdate:
        """What follows when the consent log has `size` entries under `root`."""
        change = self._map.change(values)
        entry = StateRoot(size, root, change.root)
        staged = self.log.stage([bytes(entry)])
        roots = change.nodes[-1]
        buckets = {number: (roots[number], data) for number, data in change.buckets.items()}
        return MapUpdate(replace(staged.batch, buckets=buckets), staged, change, entry)

    def settle(self, moved: MapUpdate) -> None:
        """Go on from what was staged and is stored."""
        self._map.apply(moved.change)
        self.log.settle(moved.staged)
        self._newest = moved.entry

    def export(self, folder: Path) -> None:
        """Write the public tile directory. Raises RolledBackError, QuorumError."""
        self.log.export(folder, self.cosigned.newest())

    def value(self, label: Label) -> Value | None:
        return self._map.value(label)

    def prove(self, label: Label, shown: StateOpening | None) -> StateProof:
        """That `shown` is the latest state of the label, or that nothing is there.

        It is what it says only if the map holds that value: the caller knows.
        """
        index, signed = self.log.size - 1, signed_note.parse(self.log.checkpoint())
        path = tuple(self.log.prove_inclusion(index))
        return StateProof(shown, self._map.prove(label), self._newest, index, path, signed)

    def _stored(self) -> StateRoot:
        size = self.log.size
        return map_proof.newest([*self.log.entries(max(size - 1, 0), size)])
