"""What a customer reads on the page of reads and on the data map."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape

from tests.bank import contracts
from tests.features.served import Person

SOURCE, SCENES = contracts()
PORTAL = "This data page"  # the service that reads the name of whoever signs in
KINDS = {
    "list with customer numbers": "rows",
    "asked for you by your customer number": "named",
    "table without customer numbers": "table",
    "list of customers whose data may be read": "search",
    "It only asked whether it may": "evaluate",
    "counted into totals": "statistics",
}
_ROW = re.compile(r"<li>\s*(<p class=\"did\"><strong>.*?)</li>", re.DOTALL)
_DID = re.compile(r"<strong>(.*?)</strong> · for: (.*?)</p>")
_DELIVERY = re.compile(r"<span class=\"delivery (delivered|cut|unknown)\">")
_ONE = r"(^|, | and ){}($|, | and )"  # of the titles in a list
_NAMED = {
    title: re.compile(_ONE.format(re.escape(title)))
    for title in {each.title["en"] for each in SOURCE.items.values()}
}
_PART = re.compile(r"<span class=\"mark (\w+)\">.*?</span> (.*?)</p>")


@dataclass(frozen=True, slots=True, order=True)
class Shown:
    """One read: titles as on the page; `items`: those whose own value the customer sees as read."""

    kind: str
    service: str
    scene: str
    items: tuple[str, ...]


def read(kind: str, service: str, scene: str, fields: tuple[str, ...] = ()) -> Shown:
    """A read that answered with the customer's own values of these fields, as it is shown."""
    contract = SCENES[scene]
    title = next(each.title["en"] for each in contract.services if each.id == service)
    items = sorted(SOURCE.items[each].title["en"] for each in fields)
    return Shown(kind, title, contract.title["en"], (*items,))


def reads(customer: Person) -> Counter[Shown]:
    """Every read on every page, except those of the product itself and its counts."""
    return Counter(shown for shown, _ in marked(customer).elements())


def marked(customer: Person) -> Counter[tuple[Shown, str]]:
    """The same, each with what became of the answer: delivered, cut or unknown."""
    own = read("read", "customer-care", "contract-service", ("name",))  # for a notice at the desk
    found = (each for each in _reads(customer) if each[0].service != PORTAL)
    return Counter(each for each in found if each[0] != own and each[0].kind != "statistics")


def _reads(customer: Person) -> Iterator[tuple[Shown, str]]:
    number, more = 1, True
    while more:
        html = customer.page(f"/customer/reads?page={number}").plain
        for row in _ROW.findall(html):
            found = _DID.search(row)
            ended = _DELIVERY.findall(row)
            assert found is not None, row
            service, scene = (unescape(each) for each in found.groups())
            kind = next((each for words, each in KINDS.items() if words in row), "read")
            assert len(ended) == (kind != "statistics"), row
            read_of = kind not in {"evaluate", "search"}
            items = _personal(row) if read_of else ()
            yield Shown(kind, service, scene, items), ended[0] if ended else ""
        number += 1
        more = f'href="?page={number}"' in html


def _personal(row: str) -> tuple[str, ...]:
    given = unescape(
        " and ".join(items for mark, items in _PART.findall(row) if mark == "personal")
    )
    return (*sorted(name for name, found in _NAMED.items() if found.search(given)),)


def read_so_far(customer: Person, item: str, scene: str) -> str:
    """The map's count of the reads of an item in a scene."""
    html = customer.page(f"/customer/map?item={item}").plain
    cell = rf'href="/customer/scenes/{scene}">[^<]*</a></td><td>[^<]*</td><td>([^<]*)</td>'
    found = re.search(cell, html)
    assert found is not None
    return found[1]
