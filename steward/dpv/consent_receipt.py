"""A receipt about a scene as a `dpv:ConsentReceipt` with one `dpv:ConsentRecord` in it.

    {"@context": {"dpv": "https://w3id.org/dpv#", …},
     "@id": "urn:sovereign:receipt:sha256:5b0c…", "@type": "dpv:ConsentReceipt",
     "dct:conformsTo": {"@id": "dpv-27560:receipt"}, "dct:created": …, "dct:source": {the proof},
     "dpv:hasRecordOfActivity": {"@type": "dpv:ConsentRecord", "dpv:hasProcess": …,
        "dpv:hasEntity": [{the controller}], "dpv:hasConsentStatus": {…}}}

The context stands in the document, so that reading it asks nobody. The customer is named by the
tag of this one entry: the company knows whose it is, while it has the customer's key, and two
receipts of one customer have nothing in common. The proof is named by its digest, not contained:
it holds the customer's number. The law: specs/receipt.md.
"""

from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from typing import get_args

from gate.contracts.scene import Scene
from ledger.events.envelope import Instruction, SceneAct, TriggerSet, decode
from ledger.tlog import checkpoint
from ledger.tlog.checkpoint import MalformedCheckpointError
from ledger.tlog.merkle import leaf_hash
from ledger.vault import commitments
from ledger.verify import receipt
from ledger.verify.receipt import Receipt, ReceiptError
from steward.dpv import event
from steward.dpv.party import Organisation, entities
from steward.dpv.process import process
from steward.dpv.term import CONTEXT, Node, checksum, ref

MEDIA_TYPE = "application/ld+json"
RECEIPT, RECORD = "dpv-27560:receipt", "dpv-27560:record"


class NoConsentError(ValueError):
    """What the receipt proves is no decision on a scene. Nothing was made of it."""


def expressible(said: object, scenes: Mapping[str, Scene]) -> bool:
    """Whether it is a decision on a scene that consent can open."""
    scene = scenes.get(said.scene or "") if isinstance(said, Instruction) else None
    return scene is not None and not scene.locked


def document(
    proof: str, scenes: Mapping[str, Scene], organisation: Organisation, at: datetime
) -> Node:
    """The receipt `proof` (a tlog-proof) under these contracts, as of `at`.

    It is not verified here: `sovereign verify` does that, with the file that the document names.
    Raises ReceiptError if it is none, NoConsentError.
    """
    kept = receipt.parse(proof)
    said = instruction(kept)
    if not expressible(said, scenes):
        raise NoConsentError(
            f"want a receipt about one of {_open(scenes)}, found one about {said.scene or 'keys'}:"
            " keep the receipt itself, it says all there is"
        )
    digest = sha256(proof.encode()).hexdigest()
    identifier = f"urn:sovereign:receipt:sha256:{digest}"
    return {
        "@context": CONTEXT,
        "@id": identifier,
        "@type": "dpv:ConsentReceipt",
        "dct:conformsTo": ref(RECEIPT),
        "dct:created": event.moment(at),
        "dct:publisher": ref(organisation.controller.id),
        "dct:source": _source(kept, digest),
        "dpv:hasIdentifier": identifier,
        "dpv:hasRecordOfActivity": _record(kept, said, scenes[said.scene or ""], organisation),
    }


def instruction(kept: Receipt) -> Instruction:
    """What the receipt is about. Raises ReceiptError, NoConsentError."""
    try:
        found = decode(commitments.canonical(kept.extra["event"]))
    except ValueError as error:
        raise ReceiptError(f"its event is {error}; download the receipt again") from error
    if not isinstance(found, Instruction) or "tag" not in kept.extra:
        raise NoConsentError(
            "want a customer's instruction, found an act of the company: there is no consent in it"
        )
    return found


def _record(kept: Receipt, said: Instruction, scene: Scene, organisation: Organisation) -> Node:
    act = said.act
    assert isinstance(act, get_args(SceneAct))  # noqa: S101 - it names a scene
    identifier = f"urn:sovereign:entry:sha256:{leaf_hash(kept.entry()).hex()}"
    subject = f"urn:sovereign:customer:{kept.extra['tag']}"
    use = process(scene, _fields(act, scene), organisation)
    if isinstance(act, TriggerSet):
        use["dpv:hasProhibition"] = ref(event.condition(act)["@id"])
    return {
        "@id": identifier,
        "@type": "dpv:ConsentRecord",
        "dct:conformsTo": ref(RECORD),
        "dct:identifier": identifier,
        "dpv:hasIdentifier": identifier,
        "dpv:hasDataSubject": {
            "@id": subject,
            "@type": "dpv:DataSubject",
            "dct:identifier": kept.extra["tag"],
        },
        "dpv:hasNotice": _notice(said),
        "dpv:hasProcess": use,
        "dpv:hasEntity": entities(scene.services, organisation),
        "dpv:hasConsentStatus": event.event(said, act, scene, subject),
    }


def _fields(act: SceneAct, scene: Scene) -> tuple[str, ...]:
    """What the act names; one that names no items is about all of the scene."""
    named: tuple[str, ...] | None = getattr(act, "fields", None)
    return tuple(scene.fields) if named is None else named


def _notice(said: Instruction) -> Node:
    """The words that were shown, by their digest, in their language."""
    digest = said.wording.digest.hex()
    return {
        "@id": f"urn:sovereign:words:sha256:{digest}",
        "@type": "dpv:ConsentNotice",
        "dct:language": said.wording.locale,
        "spdx:checksum": checksum(digest),
    }


def _source(kept: Receipt, digest: str) -> Node:
    """Where the proof is to be found, and what it proves a place in."""
    try:
        origin = checkpoint.parse(kept.checkpoint.text).origin
    except MalformedCheckpointError as error:
        raise ReceiptError(str(error)) from error
    return {
        "@id": f"urn:sovereign:proof:sha256:{digest}",
        "dct:conformsTo": ref("https://c2sp.org/tlog-proof@v1"),
        "dct:isPartOf": {"dct:identifier": origin},
        "dct:title": f"receipt-{kept.index}.tlog-proof",
        "schema:position": kept.index,
        "spdx:checksum": checksum(digest),
    }


def _open(scenes: Mapping[str, Scene]) -> list[str]:
    return [scene.id for scene in scenes.values() if not scene.locked]
