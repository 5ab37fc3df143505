"""Describes what an instruction allows or ends as a `dpv:Process`.

Purpose, legal basis, items, storage, recipients, withdrawal, jurisdiction and rights come from the
scene's contract and from facts that the company states.
"""

from gate.contracts.scene import Scene
from steward.dpv.party import Organisation, recipients, service_iri
from steward.dpv.term import CATEGORIES, UNKNOWN, Node, prefixed, ref, typed, words

UNION = ("EU", "EEA")  # where rights are named by their articles of the GDPR
RIGHTS = {  # those that the customer exercises in the portal
    "A7-3": {"en": "Right to withdraw consent", "zh-CN": "撤回同意的权利"},
    "A15": {"en": "Right of access", "zh-CN": "查阅权"},
    "A17": {"en": "Right to erasure", "zh-CN": "删除权"},
    "A20": {"en": "Right to data portability", "zh-CN": "数据可携权"},
}


def process(scene: Scene, fields: tuple[str, ...], organisation: Organisation) -> Node:
    """The use of exactly these fields for the scene, under its contract."""
    return {
        "@type": "dpv:Process",
        "dct:identifier": scene.id,
        "dct:source": {
            "@id": f"urn:sovereign:contract:sha256:{scene.digest}",
            "dct:hasVersion": scene.version,
        },
        "dpv:hasPurpose": _purpose(scene),
        "dpv:hasLegalBasis": ref("dpv:Consent"),  # other scenes have no consent record
        "dpv:hasPersonalData": [_item(scene, name) for name in fields],
        "dpv:hasProcessing": _operations(scene),
        "dpv:hasStorageCondition": [_place(organisation), _retention(scene)],
        "dpv:hasDataController": ref(organisation.controller.id),
        "dpv:hasRecipient": recipients(scene.services, organisation),
        "dpv:hasService": [
            {"@id": service_iri(s), "@type": "dpv:Service", "dct:title": words(s.title)}
            for s in scene.services
        ],
        "dpv:hasConsentControl": {
            "@type": ["dpv:ProvideConsent", "dpv:WithdrawConsent"],
            "dpv:isExercisedAt": ref(organisation.centre),
        },
        "dpv:hasJurisdiction": ref(f"loc:{organisation.jurisdiction}"),
        "dpv:hasRight": _rights(organisation),
    }


def _purpose(scene: Scene) -> Node:
    return {
        "@type": "dpv:Purpose",
        "skos:broader": ref(prefixed(scene.purpose)),
        "dct:title": words(scene.title),
        "dct:description": words(scene.summary),
    }


def _item(scene: Scene, name: str) -> Node:
    """An item by its name, also if the contract no longer has it."""
    item: Node = {
        "@type": "dpv:PersonalData",
        "dct:identifier": name,
        "skos:broader": ref(CATEGORIES.get(name, UNKNOWN)),
        "dpv:hasNecessity": ref("dpv:Optional"),  # every item can be switched off
    }
    if (field := scene.fields.get(name)) is not None:
        item |= {"dct:title": words(field.item.title), "dct:description": words(field.use)}
    return item


def _operations(scene: Scene) -> list[Node]:
    shared = any(service.partner for service in scene.services)
    return [ref("dpv:Use"), *([ref("dpv:Share")] if shared else [])]


def _place(organisation: Organisation) -> Node:
    return {"@type": "dpv:StorageLocation", "dpv:hasLocation": ref(f"loc:{organisation.storage}")}


def _retention(scene: Scene) -> Node:
    """How long services may keep data; indeterminate if the contract sets no limit."""
    length: Node = {"@type": "dpv:IndeterminateDuration"}
    if scene.retention is not None:
        days = typed(f"P{scene.retention.days}D", "duration")
        length = {"@type": "dpv:TemporalDuration", "rdf:value": days}
    return {"@type": "dpv:StorageDuration", "dpv:hasDuration": length}


def _rights(organisation: Organisation) -> list[Node]:
    named = organisation.jurisdiction in UNION
    return [
        {
            "@type": ["dpv:DataSubjectRight", *([f"eu-gdpr:{article}"] if named else [])],
            "dct:title": words(title),
            "dpv:isExercisedAt": ref(organisation.centre),
        }
        for article, title in RIGHTS.items()
    ]
