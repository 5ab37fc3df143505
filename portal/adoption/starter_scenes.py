"""Proposes three scenes of a company: what its contract needs, statistics, and offers.

Nobody can know from a table what a company does with it. A use that needs no permission gets only
the items whose names speak of contact, contract or payment; statistics get the items that can be
counted; offers get items that are in both. Everything else is in no scene until somebody adds it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Any

from gate.contracts.scene import MAX_FIELDS
from portal.adoption import labels
from portal.adoption.labels import Text, text

PAIRS = 12  # of the workload that is proposed
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
    found = [StarterScene("service", _most(needed), _SERVED, _LEAST, _ORDERED)]
    if public := _most(public):
        names = [each.name for each in public]
        pairs = [[a, b] for a, b in pairwise(names)][:PAIRS]
        workload = {"workload": pairs or [names]}
        found.append(StarterScene("statistics", public, _IN_GROUPS, _ASKED, _COUNTED | workload))
    found.append(StarterScene("offers", offered[:OFFERED], _SUITING, _ASKED, _OFFERS))
    return found


def _most(items: Sequence[StarterItem]) -> list[StarterItem]:
    return [*islice(items, MAX_FIELDS)]


def _service(id_: str, english: str, chinese: str) -> dict[str, Any]:
    return {"id": id_, "title": text(english, chinese), "partner": False}


_LEAST = (
    "This use needs no permission: keep the\n# items that your contract cannot do without. These "
    "are those whose names speak of contact,\n# contract or payment."
)
_ASKED = "Every item is used only while the\n# customer allows it. Keep those that the use needs."
_SERVED = text("to provide what you ordered", "用于提供您订购的服务")
_IN_GROUPS = text("to count customers in groups", "用于分组统计客户")
_SUITING = text("to choose offers that suit you", "用于挑选适合您的优惠")
_ORDERED: dict[str, Any] = {
    "legalBasis": "contract",
    "purpose": "RequestedServiceProvision",
    "longestConsentDays": 3650,
    "fallback": "withhold",
    "title": text("The service you ordered", "您订购的服务"),
    "summary": text(
        "We provide what you ordered and answer your questions.",
        "我们为您提供所订购的服务，并解答您的问题。",
    ),
    "consequence": text(
        "Without this data we could not serve you.", "没有这些数据，我们无法为您提供服务。"
    ),
    "alternative": text(
        "This rests on our contract with you. When the contract ends, this use ends too.",
        "此项以您与我们的合同为依据；合同终止时，该使用随之终止。",
    ),
    "services": [
        _service("customer-care", "Customer care", "客户服务部"),
        _service("this-page", "This data page", "本数据页面"),
    ],
}
_COUNTED: dict[str, Any] = {
    "legalBasis": "consent",
    "purpose": "ServiceUsageAnalytics",
    "longestConsentDays": 730,
    "fallback": "synthetic",
    "surrogates": "independent",
    "title": text("Statistics", "统计"),
    "summary": text(
        "We count customers by group, to plan our services.", "我们分组统计客户，用于规划服务。"
    ),
    "consequence": text(
        "Your data no longer counts in our statistics.", "您的数据不再计入我们的统计。"
    ),
    "alternative": text(
        "Synthetic values take their place; nothing changes for you.",
        "由合成数据代替；您的服务不受影响。",
    ),
    "services": [_service("analytics", "Analytics", "分析团队")],
}
_OFFERS: dict[str, Any] = {
    "legalBasis": "consent",
    "purpose": "DirectMarketing",
    "longestConsentDays": 365,
    "fallback": "withhold",
    "title": text("Offers", "优惠"),
    "summary": text("We choose offers that suit you.", "我们为您挑选适合的优惠。"),
    "consequence": text("You get no offers chosen for you.", "您不会收到为您挑选的优惠。"),
    "alternative": text(
        "You still see all offers on our pages.", "您仍可在我们的页面上查看全部优惠。"
    ),
    "services": [_service("marketing", "Marketing", "市场团队")],
}
