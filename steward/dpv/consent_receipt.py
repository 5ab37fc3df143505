"""Converts a receipt about a scene to a `dpv:ConsentReceipt` with one `dpv:ConsentRecord`.

    {"@context": {"dpv": "https://w3id.org/dpv#", …},
     "@id": "urn:sovereign:receipt:sha256:5b0c…", "@type": "dpv:ConsentReceipt",
     "dct:conformsTo": {"@id": "dpv-27560:receipt"}, "dct:created": …, "dct:source": {the proof},
     "dpv:hasRecordOfActivity": {"@type": "dpv:ConsentRecord", "dpv:hasProcess": …,
        "dpv:hasEntity": [{the controller}], "dpv:hasConsentStatus": {…}}}

The document contains its context, so that a reader need not fetch it. It names the customer by the
tag of this one entry: the company can resolve it while it has the customer's key, and two receipts
of one customer cannot be linked. It names the proof by its digest and does not contain it, since
the proof has the customer's id. Normative clauses: specs/receipt.md.
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
    """The receipt is not about a decision on a scene, so it cannot be converted."""


def expressible(candidate: object, scenes: Mapping[str, Scene]) -> bool:
    """Whether an event is a decision on a scene whose legal basis is consent."""
    scene = scenes.get(candidate.scene or "") if isinstance(candidate, Instruction) else None
    return scene is not None and not scene.locked


def document(
    proof: str, scenes: Mapping[str, Scene], organisation: Organisation, at: datetime
) -> Node:
    """Convert the receipt `proof` (a tlog-proof) under these contracts, as of `at`.

    Does not verify it; use `sovereign verify` with the file that the document names. Raises
    ReceiptError if it cannot be parsed, and NoConsentError.
    """
    parsed = receipt.parse(proof)
    decision = instruction(parsed)
    if not expressible(decision, scenes):
        raise NoConsentError(
            f"want a receipt about one of {_open(scenes)}, found one about "
            f"{decision.scene or 'keys'}: keep the receipt itself instead"
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
        "dct:source": _source(parsed, digest),
        "dpv:hasIdentifier": identifier,
        "dpv:hasRecordOfActivity": _record(
            parsed, decision, scenes[decision.scene or ""], organisation
        ),
    }


def instruction(parsed: Receipt) -> Instruction:
    """The instruction that the receipt proves. Raises ReceiptError and NoConsentError."""
    try:
        decoded = decode(commitments.canonical(parsed.extra["event"]))
    except ValueError as error:
        raise ReceiptError(f"its event is {error}; download the receipt again") from error
    if not isinstance(decoded, Instruction) or "tag" not in parsed.extra:
        raise NoConsentError(
            "want a customer's instruction, found an act of the company: there is no consent in it"
        )
    return decoded


def _record(
    parsed: Receipt, decision: Instruction, scene: Scene, organisation: Organisation
) -> Node:
    act = decision.act
    assert isinstance(act, get_args(SceneAct))  # noqa: S101 - it names a scene
    identifier = f"urn:sovereign:entry:sha256:{leaf_hash(parsed.entry()).hex()}"
    subject = f"urn:sovereign:customer:{parsed.extra['tag']}"
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
            "dct:identifier": parsed.extra["tag"],
        },
        "dpv:hasNotice": _notice(decision),
        "dpv:hasProcess": use,
        "dpv:hasEntity": entities(scene.services, organisation),
        "dpv:hasConsentStatus": event.event(decision, act, scene, subject),
    }


def _fields(act: SceneAct, scene: Scene) -> tuple[str, ...]:
    """The fields that the act names, or all fields of the scene if it names none."""
    named: tuple[str, ...] | None = getattr(act, "fields", None)
    return tuple(scene.fields) if named is None else named


def _notice(decision: Instruction) -> Node:
    """The notice shown to the customer, by its digest and language."""
    digest = decision.wording.digest.hex()
    return {
        "@id": f"urn:sovereign:words:sha256:{digest}",
        "@type": "dpv:ConsentNotice",
        "dct:language": decision.wording.locale,
        "spdx:checksum": checksum(digest),
    }


def _source(parsed: Receipt, digest: str) -> Node:
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


def _open(scenes: Mapping[str, Scene]) -> list[str]:
    return [scene.id for scene in scenes.values() if not scene.locked]
