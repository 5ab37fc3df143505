"""All vector files, and the module that makes each."""

from collections.abc import Callable, Iterator

from specs.vectors import (
    make_bound,
    make_checkpoint,
    make_cosignature,
    make_event,
    make_evidence,
    make_instruction,
    make_map,
    make_mldsa,
    make_note,
    make_order,
    make_range,
    make_receipt,
    make_submission,
    make_tile,
    make_timestamp,
    make_transition,
    make_tree,
    make_vrf,
)
from specs.vectors.vector import Vector

EVERY: dict[str, Callable[[], Iterator[Vector]]] = {
    "note": make_note.vectors,
    "mldsa": make_mldsa.vectors,
    "order": make_order.vectors,
    "range": make_range.vectors,
    "checkpoint": make_checkpoint.vectors,
    "path": make_tile.paths,
    "tile": make_tile.tiles,
    "bundle": make_tile.bundles,
    "inclusion": make_tree.inclusions,
    "consistency": make_tree.consistencies,
    "cosignature": make_cosignature.vectors,
    "policy": make_receipt.policies,
    "receipt": make_receipt.receipts,
    "event": make_event.vectors,
    "instruction": make_instruction.vectors,
    "commitment": make_event.commitments,
    "map": make_map.maps,
    "state": make_map.state_proofs,
    "bound": make_bound.vectors,
    "transition": make_transition.vectors,
    "evidence": make_evidence.vectors,
    "submission": make_submission.vectors,
    "timestamp": make_timestamp.vectors,
    "vrf": make_vrf.vectors,
}
