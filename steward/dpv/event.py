"""Describes an instruction as a DPV consent status: which, when, by whom, how, for how long.

Setting or clearing a trigger neither gives nor withdraws consent, and a receipt about it does not
show the current consent. Its status is `dpv:ConsentUnknown`, which permits no processing.
"""

from datetime import datetime

from gate.contracts.scene import Scene
from ledger.events.acts import Limited
from ledger.events.envelope import (
    EvidenceClass,
    Granted,
    Imported,
    Instruction,
    SceneAct,
    TriggerCleared,
    TriggerSet,
    Withdrawn,
)
from steward.dpv.term import Node, ref, typed

KINDS = {  # how consent was expressed, by evidence class
    EvidenceClass.PASSKEY: "dpv:ExplicitlyExpressedConsent",
    EvidenceClass.BROWSER_KEY: "dpv:ExplicitlyExpressedConsent",
    EvidenceClass.SESSION: "dpv:ExpressedConsent",
    EvidenceClass.IMPORTED: "dpv:Consent",
}
METHODS = {
    EvidenceClass.PASSKEY: "signed by the customer's passkey over the words shown and the choice",
    EvidenceClass.BROWSER_KEY: (
        "signed by a key in the customer's browser over the words and the choice"
    ),
    EvidenceClass.SESSION: "chosen in a session in which the customer had signed in",
    EvidenceClass.IMPORTED: (
        "recorded by the company, or taken over from an earlier record, with its source"
    ),
}
WHOLE = "the whole scene"
UNTIL_NEXT_DECISION = "the customer decides on the scene again"


def event(instruction: Instruction, act: SceneAct, scene: Scene, subject: str) -> Node:
    """The consent status of an instruction. `subject`: the customer's IRI in the document."""
    made = {
        "@type": state(act),
        "dct:type": ref(f"urn:sovereign:act:{act.__struct_config__.tag}"),
        "dpv:hasLegalBasis": ref(KINDS[instruction.evidence]),
        "dpv:isIndicatedAtTime": moment(instruction.at),
        "dpv:isIndicatedBy": _who(instruction, subject),
        "dpv:hasIndicationMethod": {
            "@id": f"urn:sovereign:evidence:{instruction.evidence.value}",
            "dct:identifier": instruction.evidence.value,
            "dct:description": {"@language": "en", "@value": METHODS[instruction.evidence]},
        },
        "dpv:hasDuration": _duration(instruction, act, scene),
    }
    if isinstance(act, TriggerSet | TriggerCleared):
        made["dct:relation"] = condition(act)
    if isinstance(act, Withdrawn) and act.fields is None:
        made["dpv:hasScope"] = WHOLE
    if isinstance(act, Imported):
        made["dct:source"] = act.source
    return made


def state(act: SceneAct) -> str:
    """The DPV consent status after the act."""
    match act:
        case Granted() | Imported() | Limited():
            return "dpv:ConsentGiven"
        case Withdrawn():
            return "dpv:ConsentWithdrawn"
        case TriggerSet() | TriggerCleared():
            return "dpv:ConsentUnknown"


def condition(act: TriggerSet | TriggerCleared) -> Node:
    """The trigger that freezes the scene; its threshold is in ten-thousandths, as in the log."""
    made: Node = {
        "@id": f"urn:sovereign:condition:{act.scene}:{act.template}:{act.signal}",
        "@type": "dpv:Prohibition",
        "dct:identifier": f"{act.template} {act.signal}",
    }
    if isinstance(act, TriggerSet):
        made["rdf:value"] = typed(str(act.threshold), "integer")
    return made


def moment(at: datetime) -> Node:
    return typed(f"{at:%Y-%m-%dT%H:%M:%SZ}", "dateTime")


def _who(instruction: Instruction, subject: str) -> Node:
    """The customer, or the holder of a mandate, identified by the instruction that gave it."""
    if instruction.mandate is None:
        return ref(subject)
    return {
        "@id": f"urn:sovereign:mandate:sha256:{instruction.mandate.hex()}",
        "@type": "dpv:Representative",
        "dpv:isRepresentativeFor": ref(subject),
    }


def _duration(instruction: Instruction, act: SceneAct, scene: Scene) -> Node:
    """The duration: until the grant's own end or the contract's maximum, whichever is first."""
    if isinstance(act, Granted | Imported) or (isinstance(act, Limited) and act.until):
        last = instruction.at + scene.longest
        end = min(act.until, last) if act.until else last
        return {"@type": "dpv:UntilTimeDuration", "rdf:value": moment(end)}
    return {"@type": "dpv:UntilEventDuration", "rdf:value": UNTIL_NEXT_DECISION}
