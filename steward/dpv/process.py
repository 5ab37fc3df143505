"""Describes what an instruction allows or ends as a `dpv:Process`.

Purpose, legal basis, items, storage, recipients, withdrawal, jurisdiction and rights come from the
scene's contract and from facts that the company states.
"""

from collections.abc import Mapping

from gate.contracts.scene import LegalBasis, Scene
from steward.dpv.party import Organisation, recipients, service_iri
from steward.dpv.term import UNKNOWN, Node, prefixed, ref, typed, words

UNION = ("EU", "EEA")  # where rights are named by their articles of the GDPR
TO_OBJECT = "A21"
BASES = {  # by legal basis: the term, the article of the GDPR, and the rights that it gives
    LegalBasis.CONSENT: ("dpv:Consent", "", ("A7-3", "A15", "A17", "A20")),
    LegalBasis.CONTRACT: ("dpv:Contract", "eu-gdpr:A6-1-b", ("A15", "A17", "A20")),
    LegalBasis.OBLIGATION: ("dpv:LegalObligation", "eu-gdpr:A6-1-c", ("A15",)),
    LegalBasis.INTEREST: ("dpv:LegitimateInterest", "eu-gdpr:A6-1-f", ("A15", "A17", TO_OBJECT)),
}


def process(
    scene: Scene,
    fields: tuple[str, ...],
    organisation: Organisation,
    categories: Mapping[str, str | None],
) -> Node:
    """The use of exactly these fields for the scene, under its contract.

    `categories`: by item, of the present source contract; for items that the scene's own contract
    does not have any more, or that had no category then.
    """
    made: Node = {
        "@type": "dpv:Process",
        "dct:identifier": scene.id,
        "dct:source": {
            "@id": f"urn:sovereign:contract:sha256:{scene.digest}",
            "dct:hasVersion": scene.version,
        },
        "dpv:hasPurpose": _purpose(scene),
        "dpv:hasLegalBasis": legal_bases(scene, organisation),
        "dpv:hasPersonalData": [_item(scene, name, categories) for name in fields],
        "dpv:hasProcessing": _operations(scene),
        "dpv:hasStorageCondition": [_place(organisation), _retention(scene)],
        "dpv:hasDataController": ref(organisation.controller.id),
        "dpv:hasRecipient": recipients(scene.services, organisation),
        "dpv:hasService": [
            {"@id": service_iri(s), "@type": "dpv:Service", "dct:title": words(s.title)}
            for s in scene.services
        ],
        "dpv:hasJurisdiction": ref(f"loc:{organisation.jurisdiction}"),
        "dpv:hasRight": [right(each, organisation) for each in BASES[scene.legal_basis][2]],
    }
    if scene.needs_consent:
        made["dpv:hasConsentControl"] = {
            "@type": ["dpv:ProvideConsent", "dpv:WithdrawConsent"],
            "dpv:isExercisedAt": ref(organisation.centre),
        }
    return made


def legal_bases(scene: Scene, organisation: Organisation) -> Node | list[Node]:
    """The term of the legal basis, and where the GDPR applies and it is no consent, its article."""
    term, article, _ = BASES[scene.legal_basis]
    if article and organisation.jurisdiction in UNION:
        return [ref(term), ref(article)]
    return ref(term)


def right(article: str, organisation: Organisation) -> Node:
    """A right of the customer, with where it is exercised."""
    named = organisation.jurisdiction in UNION
    return {
        "@type": ["dpv:DataSubjectRight", *([f"eu-gdpr:{article}"] if named else [])],
        "dct:title": words(organisation.rights[article]),
        "dpv:isExercisedAt": ref(organisation.centre),
    }


def _purpose(scene: Scene) -> Node:
    return {
        "@type": "dpv:Purpose",
        "skos:broader": ref(prefixed(scene.purpose)),
        "dct:title": words(scene.title),
        "dct:description": words(scene.summary),
    }


def _item(scene: Scene, name: str, categories: Mapping[str, str | None]) -> Node:
    """An item by its name, also if the contract no longer has it."""
    field = scene.fields.get(name)
    category = (field.item.category if field else None) or categories.get(name)
    item: Node = {
        "@type": "dpv:PersonalData",
        "dct:identifier": name,
        "skos:broader": ref(f"pd:{category}" if category else UNKNOWN),
        "dpv:hasNecessity": ref("dpv:Required" if scene.locked else "dpv:Optional"),
    }
    if field is not None:
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
