"""What was said, as a state of consent: which, when, by whom, in what way, and for how long.

Setting or clearing a trigger neither gives consent nor takes it away, and a receipt about it does
not tell which holds: its state is `dpv:ConsentUnknown`, which nobody may process data on.
"""

from datetime import datetime

from gate.contracts.scene import Scene
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

KINDS = {  # how consent was expressed, as far as the evidence shows
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
    EvidenceClass.IMPORTED: "taken over from an earlier record, with its source",
}
WHOLE = "the whole scene"
UNTIL_SAID_AGAIN = "the customer decides on the scene again"


def event(said: Instruction, act: SceneAct, scene: Scene, subject: str) -> Node:
    """`subject`: the IRI under which the document speaks of the customer."""
    made = {
        "@type": state(act),
        "dct:type": ref(f"urn:sovereign:act:{act.__struct_config__.tag}"),
        "dpv:hasLegalBasis": ref(KINDS[said.evidence]),
        "dpv:isIndicatedAtTime": moment(said.at),
        "dpv:isIndicatedBy": _who(said, subject),
        "dpv:hasIndicationMethod": {
            "@id": f"urn:sovereign:evidence:{said.evidence.value}",
            "dct:identifier": said.evidence.value,
            "dct:description": {"@language": "en", "@value": METHODS[said.evidence]},
        },
        "dpv:hasDuration": _duration(said, act, scene),
    }
    if isinstance(act, TriggerSet | TriggerCleared):
        made["dct:relation"] = condition(act)
    if isinstance(act, Withdrawn) and act.fields is None:
        made["dpv:hasScope"] = WHOLE
    if isinstance(act, Imported):
        made["dct:source"] = act.source
    return made


def state(act: SceneAct) -> str:
    """The state of consent that the act brought about."""
    match act:
        case Granted() | Imported():
            return "dpv:ConsentGiven"
        case Withdrawn():
            return "dpv:ConsentWithdrawn"
        case TriggerSet() | TriggerCleared():
            return "dpv:ConsentUnknown"


def condition(act: TriggerSet | TriggerCleared) -> Node:
    """What freezes the scene. A threshold is in ten-thousandths, as it stands in the log."""
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


def _who(said: Instruction, subject: str) -> Node:
    """The customer; or whoever signed under a mandate, known by the instruction that gave it."""
    if said.mandate is None:
        return ref(subject)
    return {
        "@id": f"urn:sovereign:mandate:sha256:{said.mandate.hex()}",
        "@type": "dpv:Representative",
        "dpv:isRepresentativeFor": ref(subject),
    }


def _duration(said: Instruction, act: SceneAct, scene: Scene) -> Node:
    """Until when: a grant's own end or the contract's longest, whichever comes first."""
    if isinstance(act, Granted | Imported):
        last = said.at + scene.longest
        end = min(act.until, last) if act.until else last
        return {"@type": "dpv:UntilTimeDuration", "rdf:value": moment(end)}
    return {"@type": "dpv:UntilEventDuration", "rdf:value": UNTIL_SAID_AGAIN}
