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
from ledger.events.envelope import Instruction, SceneAct, SourceDeleted, TriggerSet, decode
from ledger.tlog.merkle import leaf_hash
from ledger.vault import commitments
from ledger.verify import receipt
from ledger.verify.receipt import Receipt, ReceiptError
from steward.dpv import event, processing_record
from steward.dpv.party import Organisation, entities
from steward.dpv.process import process
from steward.dpv.proof import fields, notice, source
from steward.dpv.term import CONTEXT, Node, ref

MEDIA_TYPE = "application/ld+json"
NO_CATEGORIES: Mapping[str, str | None] = {}
RECEIPT, RECORD = "dpv-27560:receipt", "dpv-27560:record"


class NoConsentError(ValueError):
    """The receipt is not about a decision on a scene, so it cannot be converted."""


def expressible(candidate: object, scenes: Mapping[str, Scene]) -> bool:
    """Whether an event is a decision on a scene that the customer can switch."""
    scene = scenes.get(candidate.scene or "") if isinstance(candidate, Instruction) else None
    return scene is not None and not scene.locked


def _about(decision: Instruction) -> str:
    """What an instruction without a scene is about."""
    return "all scenes" if isinstance(decision.act, SourceDeleted) else "keys"


def document(
    proof: str,
    scenes: Mapping[str, Scene],
    organisation: Organisation,
    at: datetime,
    categories: Mapping[str, str | None] = NO_CATEGORIES,
) -> Node:
    """Convert the receipt `proof` (a tlog-proof) under these contracts, as of `at`.

    Under legitimate interest it is a `dpv:DataProcessingRecord` instead: processing_record.

    `categories`: see `process`. Does not verify it; use `sovereign verify` with the file that the
    document names. Raises ReceiptError if it cannot be parsed, and NoConsentError.
    """
    parsed = receipt.parse(proof)
    decision = instruction(parsed)
    if not expressible(decision, scenes):
        found = scenes.get(decision.scene or "")
        rests = f", which rests on {found.legal_basis} and no decision" if found else ""
        raise NoConsentError(
            f"want a receipt about one of {_open(scenes)}, found one about "
            f"{decision.scene or _about(decision)}{rests}: keep the receipt itself instead"
        )
    scene = scenes[decision.scene or ""]
    if scene.objectable:
        return processing_record.of_receipt(
            proof, parsed, decision, scene, organisation, at, categories
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
        "dct:source": source(parsed, digest),
        "dpv:hasIdentifier": identifier,
        "dpv:hasRecordOfActivity": _record(parsed, decision, scene, organisation, categories),
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
    parsed: Receipt,
    decision: Instruction,
    scene: Scene,
    organisation: Organisation,
    categories: Mapping[str, str | None],
) -> Node:
    act = decision.act
    assert isinstance(act, get_args(SceneAct))  # noqa: S101 - it names a scene
    identifier = f"urn:sovereign:entry:sha256:{leaf_hash(parsed.entry()).hex()}"
    subject = f"urn:sovereign:customer:{parsed.extra['tag']}"
    use = process(scene, fields(act, scene), organisation, categories)
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
        "dpv:hasNotice": notice(decision, "dpv:ConsentNotice"),
        "dpv:hasProcess": use,
        "dpv:hasEntity": entities(scene.services, organisation),
        "dpv:hasConsentStatus": event.event(decision, act, scene, subject),
    }


def _open(scenes: Mapping[str, Scene]) -> list[str]:
    return [scene.id for scene in scenes.values() if not scene.locked]
