"""What every document states of the receipt it is made from: the proof, the notice, the items."""

from gate.contracts.scene import Scene
from ledger.events.envelope import Instruction, SceneAct
from ledger.tlog import checkpoint
from ledger.tlog.checkpoint import MalformedCheckpointError
from ledger.verify.receipt import Receipt, ReceiptError
from steward.dpv.term import Node, checksum, ref


def source(parsed: Receipt, digest: str) -> Node:
    """The source: digest of the proof, and the log and index that it proves."""
    try:
        origin = checkpoint.parse(parsed.checkpoint.text).origin
    except MalformedCheckpointError as error:
        raise ReceiptError(str(error)) from error
    return {
        "@id": f"urn:sovereign:proof:sha256:{digest}",
        "dct:conformsTo": ref("https://c2sp.org/tlog-proof@v1"),
        "dct:isPartOf": {"dct:identifier": origin},
        "dct:title": f"receipt-{parsed.index}.tlog-proof",
        "schema:position": parsed.index,
        "spdx:checksum": checksum(digest),
    }


def notice(decision: Instruction, kind: str) -> Node:
    """The notice shown to the customer, by its digest and language. `kind`: its class."""
    digest = decision.wording.digest.hex()
    return {
        "@id": f"urn:sovereign:words:sha256:{digest}",
        "@type": kind,
        "dct:language": decision.wording.locale,
        "spdx:checksum": checksum(digest),
    }


def fields(act: SceneAct, scene: Scene) -> tuple[str, ...]:
    """The fields that the act names, or all fields of the scene if it names none."""
    named: tuple[str, ...] | None = getattr(act, "fields", None)
    return tuple(scene.fields) if named is None else named
