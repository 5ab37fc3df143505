"""Describes a use of data that rests on something else than consent: a `dpv:DataProcessingRecord`.

    {"@context": {…}, "@id": "urn:sovereign:receipt:sha256:5b0c…",
     "@type": "dpv:DataProcessingRecord", "dct:created": …, "dct:source": {the proof},
     "dpv:hasProcess": {purpose, legal basis, items, …}, "dpv:hasEntity": [{the controller}],
     "dpv:hasDataSubject": {…}, "dpv:hasNotice": {…},
     "dpv:hasStatus": {"@type": ["dpv:LegitimateInterestObjected", "dpv:RightExerciseActivity"]…}}

`of_receipt` is about one instruction of a customer under legitimate interest: an objection, or the
end of one. `of_scene` is about the use itself, of any basis but consent; nobody gave an
instruction, so it names no customer. ISO/IEC TS 27560 and its profile are about consent, so neither
claims it. Normative clauses: specs/receipt.md, section 6.
"""

from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from typing import get_args

from gate.contracts.scene import Scene
from ledger.events.envelope import (
    Granted,
    Imported,
    Instruction,
    SceneAct,
    TriggerSet,
    Withdrawn,
)
from ledger.verify.receipt import Receipt
from steward.dpv import event, proof
from steward.dpv.party import Organisation, entities
from steward.dpv.process import TO_OBJECT, legal_bases, process, right
from steward.dpv.term import CONTEXT, Node, ref

RECORD = "dpv:DataProcessingRecord"
OBJECTED = ["dpv:LegitimateInterestObjected", "dpv:RightExerciseActivity"]


def of_receipt(
    file: str,
    parsed: Receipt,
    decision: Instruction,
    scene: Scene,
    organisation: Organisation,
    at: datetime,
    categories: Mapping[str, str | None],
) -> Node:
    """The record of an instruction under legitimate interest. `file`: the receipt, `parsed`."""
    act = decision.act
    assert isinstance(act, get_args(SceneAct))  # noqa: S101 - it names a scene
    digest = sha256(file.encode()).hexdigest()
    subject = f"urn:sovereign:customer:{parsed.extra['tag']}"
    made = _record(f"urn:sovereign:receipt:sha256:{digest}", scene, organisation, at)
    made["dct:source"] = proof.source(parsed, digest)
    made["dpv:hasProcess"] = process(scene, proof.fields(act, scene), organisation, categories)
    if isinstance(act, TriggerSet):
        made["dpv:hasProcess"]["dpv:hasProhibition"] = ref(event.condition(act)["@id"])
    made["dpv:hasDataSubject"] = {
        "@id": subject,
        "@type": "dpv:DataSubject",
        "dct:identifier": parsed.extra["tag"],
    }
    made["dpv:hasNotice"] = proof.notice(decision, "dpv:PrivacyNotice")
    made["dpv:hasStatus"] = _status(decision, act, scene, subject, organisation)
    return made


def of_scene(
    scene: Scene, organisation: Organisation, at: datetime, categories: Mapping[str, str | None]
) -> Node:
    """The record of a use that needs no consent, under the version of its contract."""
    identifier = f"urn:sovereign:use:{scene.id}:sha256:{scene.digest}"
    made = _record(identifier, scene, organisation, at)
    made["dpv:hasProcess"] = process(scene, tuple(scene.fields), organisation, categories)
    return made


def _record(identifier: str, scene: Scene, organisation: Organisation, at: datetime) -> Node:
    return {
        "@context": CONTEXT,
        "@id": identifier,
        "@type": RECORD,
        "dct:created": event.moment(at),
        "dct:identifier": identifier,
        "dct:publisher": ref(organisation.controller.id),
        "dpv:hasIdentifier": identifier,
        "dpv:hasEntity": entities(scene.services, organisation),
    }


def _status(
    decision: Instruction, act: SceneAct, scene: Scene, subject: str, organisation: Organisation
) -> Node:
    """What the instruction says of the use: objected, no longer objected, or neither."""
    made = event.event(decision, act, scene, subject)
    made["@type"] = _state(act)
    made["dpv:hasLegalBasis"] = legal_bases(scene, organisation)
    made["dpv:hasDuration"] = _duration(act)
    if isinstance(act, Withdrawn):
        made["dpv:hasRight"] = right(TO_OBJECT, organisation)
    return made


def _state(act: SceneAct) -> str | list[str]:
    match act:
        case Withdrawn():
            return OBJECTED
        case Granted() | Imported():
            return "dpv:LegitimateInterestNotObjected"
        case _:  # a condition, or what a merge left: neither an objection nor its end
            return "dpv:LegitimateInterestStatus"


def _duration(act: SceneAct) -> Node:
    until = getattr(act, "until", None)
    if until is not None:
        return {"@type": "dpv:UntilTimeDuration", "rdf:value": event.moment(until)}
    return {"@type": "dpv:UntilEventDuration", "rdf:value": event.UNTIL_NEXT_DECISION}
