"""Proposes three scenes of a company: what its contract needs, statistics, and offers.

Nobody can know from a table what a company does with it. A use that needs no permission gets only
the items whose names speak of contact, contract or payment; statistics get the items that can be
counted; offers get items that are in both. Everything else is in no scene until somebody adds it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Any

from gate.contracts.scene_file import MAX_FIELDS
from portal.adoption import labels
from portal.adoption.labels import Text, text

PAIRS = 12  # of the workload that is proposed
PARTS = ("title", "summary", "consequence", "alternative")
OFFERED = 6  # items of offers, at most
_NEEDED = frozenset(  # words, in the singular, of items that a contract may need
    {"account", "bill", "billing", "charge", "contract", "delivery", "due", "fee", "iban"}
    | {"internet", "invoice", "order", "paid", "payment", "plan", "price", "product", "service"}
    | {"shipping", "subscription", "tariff"}
    | {"address", "city", "contact", "country", "email", "mail", "mobile", "phone", "postal"}
    | {"first", "last", "name", "surname", "postcode", "street", "zip"}
)


@dataclass(frozen=True, slots=True)
class StarterItem:
    """`label`: the column's name as the source writes it. `domain`: None if it has none."""

    name: str
    kind: str
    label: str
    title: Text
    domain: Mapping[str, Any] | None = None
    required: bool = False
    description: str = ""

    @property
    def needed(self) -> bool:
        """Whether the name speaks of contact, contract or payment."""
        said = {each.lower() for each in labels.words(self.label)}
        return bool(said & _NEEDED or {each.removesuffix("s") for each in said} & _NEEDED)


@dataclass(frozen=True, slots=True)
class StarterScene:
    id: str
    items: Sequence[StarterItem]
    use: Text
    comment: str
    properties: Mapping[str, Any]


def propose(items: Sequence[StarterItem]) -> list[StarterScene]:
    """Two scenes if no item has a public domain: nothing could be counted."""
    needed = [each for each in items if each.needed] or [*items[:1]]
    public = [each for each in items if each.domain is not None]
    offered = [each for each in needed if each.domain is not None] or public or needed
    served = _properties("service", _ORDERED)
    found = [StarterScene("service", _most(needed), text("served"), _LEAST, served)]
    if public := _most(public):
        names = [each.name for each in public]
        pairs = [[a, b] for a, b in pairwise(names)][:PAIRS]
        workload = {"workload": pairs or [names]}
        counted = _properties("statistics", _COUNTED) | workload
        found.append(StarterScene("statistics", public, text("in-groups"), _ASKED, counted))
    offers = _properties("offers", _OFFERS)
    found.append(StarterScene("offers", offered[:OFFERED], text("suiting"), _ASKED, offers))
    return found


def _most(items: Sequence[StarterItem]) -> list[StarterItem]:
    return [*islice(items, MAX_FIELDS)]


def _properties(scene: str, base: Mapping[str, Any]) -> dict[str, Any]:
    """The custom properties of a scene, with its texts."""
    services = [{"id": id_, "title": text(id_), "partner": False} for id_ in base["services"]]
    texts = {part: text(f"{scene}.{part}") for part in PARTS}
    return {**{name: each for name, each in base.items() if name != "services"}, **texts} | {
        "services": services
    }


_LEAST = (
    "This use needs no permission: keep the\n# items that your contract cannot do without. These "
    "are those whose names speak of contact,\n# contract or payment."
)
_ASKED = "Every item is used only while the\n# customer allows it. Keep those that the use needs."
_ORDERED: Mapping[str, Any] = {
    "legalBasis": "contract",
    "purpose": "RequestedServiceProvision",
    "longestConsentDays": 3650,
    "fallback": "withhold",
    "services": ["customer-care", "this-page"],
}
_COUNTED: Mapping[str, Any] = {
    "legalBasis": "consent",
    "purpose": "ServiceUsageAnalytics",
    "longestConsentDays": 730,
    "fallback": "synthetic",
    "surrogates": "independent",
    "services": ["analytics"],
}
_OFFERS: Mapping[str, Any] = {
    "legalBasis": "consent",
    "purpose": "DirectMarketing",
    "longestConsentDays": 365,
    "fallback": "withhold",
    "services": ["marketing"],
}
