"""The controller and other recipients of data, as the company states them.

Organisation(Party("https://bank.example", "Bank AG", "Hauptstrasse 1, 10115 Berlin",
            "privacy@bank.example"), "EU", "IE", "https://privacy.bank.example/customer", {},
            {"A15": {"en": "Right of access", "de": "Recht auf Auskunft"}, …})
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from gate.contracts import odcs
from gate.contracts.odcs import Text
from gate.contracts.scene import Service
from steward.dpv.term import Node, ref
from steward.language import catalogue
from steward.language.catalogue import Catalogue

RIGHTS = ("A7-3", "A15", "A17", "A20", "A21")


@dataclass(frozen=True, slots=True)
class Party:
    id: str  # an IRI
    name: str  # legal name
    address: str  # postal, in one line
    email: str


@dataclass(frozen=True, slots=True)
class Organisation:
    """Facts that the company states about itself."""

    controller: Party
    jurisdiction: str  # a name of DPV's `loc`: an ISO 3166 code, or EU, EEA
    storage: str  # location of the data, in the same form
    centre: str  # URL where customers withdraw and exercise their rights
    partners: Mapping[str, Party]  # by service; others are reached through the controller
    rights: Mapping[str, Text] = field(default_factory=lambda: rights(catalogue.load()))


def rights(languages: Mapping[str, Catalogue]) -> dict[str, Text]:
    """The names of the rights that customers exercise in the portal, by article of the GDPR."""
    return {each: catalogue.texts(f"right.{each}", languages) for each in RIGHTS}


def described(party: Party, role: str) -> Node:
    """The full description of a party. `role`: its class in the processing."""
    return {
        "@id": party.id,
        "@type": role,
        "dpv:hasIdentifier": party.id,
        "dpv:hasName": party.name,
        "schema:contactPoint": {"@type": "schema:ContactPoint", "schema:email": party.email},
        "schema:address": {
            "@type": "schema:PostalAddress",
            "schema:streetAddress": party.address,
        },
    }


def partner(service: Service, organisation: Organisation) -> Party:
    """The partner that runs a service; one without stated facts is addressed c/o the controller."""
    if (known := organisation.partners.get(service.id)) is not None:
        return known
    ours = organisation.controller
    address = f"c/o {ours.name}, {ours.address}"
    return Party(
        service_iri(service), odcs.spoken(service.title, catalogue.ENGLISH), address, ours.email
    )


def service_iri(service: Service) -> str:
    return f"urn:sovereign:service:{service.id}"


def recipients(services: tuple[Service, ...], organisation: Organisation) -> list[Node]:
    """By reference: the controller for services inside the organisation, and every partner."""
    inside = [ref(organisation.controller.id)] if any(not each.partner for each in services) else []
    return inside + [ref(partner(each, organisation).id) for each in services if each.partner]


def entities(services: tuple[Service, ...], organisation: Organisation) -> list[Node]:
    """Every party that the processing refers to, in full."""
    outside = {p.id: p for p in (partner(each, organisation) for each in services if each.partner)}
    return [
        described(organisation.controller, "dpv:DataController"),
        *(described(each, "dpv:ThirdParty") for each in outside.values()),
    ]
