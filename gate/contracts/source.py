"""The contract of a source: which items it has, where they come from, and their public domains.

ODCS v3.1 YAML (`sources/*.odcs.yaml` of a company's folder), extended only through
`customProperties`, parsed into a `SourceContract`. The first table of its schema is that of the
customers; each further one has at most one row a customer and is joined by the customer's id. A
complete example: `examples/bank/sources/customer.odcs.yaml`. Normative clauses:
`specs/portal.md`, "Contracts".
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from gate.contracts import odcs, quality, sla, versions
from gate.contracts.odcs import Text
from gate.contracts.quality import QualityRule
from gate.contracts.sla import Level
from gate.contracts.specs import CATEGORIES, dpv_terms
from gate.contracts.strict_yaml import Entry
from synthetic.model.domain import Column, column

CUSTOM = frozenset({"deliveries", "systems"})
ITEM_CUSTOM = frozenset(
    {"category", "conflict", "domain", "freeText", "generalises", "legalBasis", "producer"}
    | {"provided", "system", "title", "update"}
)
ITEM_KEYS = odcs.DOCUMENTED | {
    "customProperties",
    "logicalType",
    "name",
    "quality",
    "required",
    "transformSourceObjects",
}
BASES = ("consent", "contract", "legal-obligation", "legitimate-interest")  # of an item
KEY_KEYS = odcs.DOCUMENTED | {"logicalType", "name", "primaryKey", "required", "unique"}


@dataclass(frozen=True, slots=True)
class Item:
    """A column of the source: its origin, and the domain over which it may be synthesised."""

    name: str
    title: Text
    type: str  # ODCS logicalType
    system: str
    producer: str
    update: str
    legal_basis: str
    domain: Column | None  # None: identifiers and free text are never synthesised
    generalises: str | None  # the item that this one is a coarser form of
    frequency: timedelta | None = None  # promised: a new delivery at least this often
    max_nulls: int | None = None  # promised limit, in ten-thousandths of all rows
    rules: tuple[QualityRule, ...] = ()  # promised besides `max_nulls`
    lineage: tuple[str, ...] = ()  # the items it is derived from
    conflict: tuple[str, ...] = ()  # systems that store the item; the first one wins if they differ
    free_text: bool = False  # masked before it leaves: see gate.reads.masking
    provided: bool = False  # not a column of the table: computed on read
    category: str | None = None  # of personal data: a term of DPV's extension `pd`


@dataclass(frozen=True, slots=True)
class RelatedTable:
    """A further table with at most one row a customer. `key`: its column with the customer's id."""

    name: str
    key: str
    items: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SourceContract:
    id: str
    version: str
    digest: str  # SHA-256 of the file, hex
    systems: Mapping[str, Text]
    items: Mapping[str, Item]
    deliveries: str | None = None  # name of the table of deliveries
    table: str = "customer"  # where the rows lie
    key: str = "id"  # the column with the customer's id, which is no item
    related: tuple[RelatedTable, ...] = ()  # joined by the customer's id

    @property
    def categories(self) -> dict[str, str | None]:
        """The category of personal data of each item, where the contract names one."""
        return {name: each.category for name, each in self.items.items()}


def load_source(path: Path) -> SourceContract:
    """Read a source contract. Raises ContractError."""
    data, digest = odcs.read(path)
    with odcs.reporting(path):
        extra = odcs.custom(data, CUSTOM)
        table, *others = odcs.tables(data)
        keys = _keys(table)
        places = {odcs.string(each["name"], "name") for each in (table, *others)}
        odcs.want(len(places) == 1 + len(others), "a table is declared twice")
        further = {str(each["name"]): _key(each) for each in others}
        declared = [(each, _items(each, places)) for each in (table, *others)]
        items = [item for _, its in declared for item in its]
        systems = {str(k): odcs.text(v) for k, v in extra["systems"].items()}
        lines = _lines((table, *others))
        names = {each.name: each for each in items}
        known = {None, *names}
        for each in items:
            with odcs.at(lines[each.name]):
                odcs.require_known([each.system, *each.conflict], systems, f"system of {each.name}")
                odcs.want(
                    sum(each.name == other.name for other in items) == 1,
                    f"the item {each.name} is declared twice: remove one",
                )
                odcs.want(
                    each.generalises in known,
                    f"generalises an item that does not exist: {each.generalises!r}, want one of "
                    f"{sorted(names)}",
                )
        deliveries = odcs.slug(extra["deliveries"]) if "deliveries" in extra else None
        read = SourceContract(
            odcs.slug(data["id"]), versions.text(data["version"]), digest, systems, names
        )
        return replace(
            read,
            items=_promised(names, data, lines),
            deliveries=deliveries,
            table=odcs.string(table["name"], "name"),
            key=keys[0] if keys else read.key,
            related=tuple(
                _related(each, further[str(each["name"])], its) for each, its in declared[1:]
            ),
        )


def _keys(table: Entry) -> list[str]:
    keys = [odcs.string(each["name"], "name") for each in table["properties"] if _is_key(each)]
    odcs.want(len(keys) <= 1, f"primaryKey is {keys}, want one column")
    return keys


def _items(table: Entry, tables: Collection[str]) -> list[Item]:
    return [_item(each, tables) for each in table["properties"] if not _is_key(each)]


def _key(table: Entry) -> str:
    """The key of a further table, which it must name."""
    with odcs.at(odcs.line(table)):
        keys = _keys(table)
        odcs.want(
            bool(keys),
            f"{table['name']} has no primaryKey, want the column with the customer's id",
        )
        return keys[0]


def _related(table: Entry, key: str, items: Sequence[Item]) -> RelatedTable:
    with odcs.at(odcs.line(table)):
        computed = [each.name for each in items if each.provided]
        odcs.want(not computed, f"{computed} is computed: declare it in the customers' table")
        return RelatedTable(str(table["name"]), key, tuple(each.name for each in items))


def _is_key(declared: Any) -> bool:
    """Whether a property is the customer's id. Raises ContractError if it says anything else."""
    if not isinstance(declared, Mapping) or "primaryKey" not in declared:
        return False
    with odcs.at(odcs.line(declared)):
        odcs.require_keys(declared, KEY_KEYS, "the primary key")
        odcs.want(declared["primaryKey"] is True, "primaryKey is no true, want true or no key")
        return True


def _item(declared: dict[str, Any], tables: Collection[str]) -> Item:
    with odcs.at(odcs.line(declared)):
        odcs.require_keys(declared, ITEM_KEYS, "an item")
        extra = odcs.custom(declared, ITEM_CUSTOM)
        rules = quality.rules(declared)
        required = odcs.boolean(declared.get("required", False), "required")
        generalises = extra.get("generalises")
        return Item(
            name=odcs.slug(declared["name"].replace("_", "-")).replace("-", "_"),
            title=odcs.text(extra["title"]),
            type=odcs.string(declared["logicalType"], "logicalType"),
            system=odcs.string(extra["system"], "system"),
            producer=odcs.string(extra["producer"], "producer"),
            update=odcs.string(extra["update"], "update"),
            legal_basis=_basis(extra),
            domain=_domain(extra),
            generalises=None if generalises is None else odcs.string(generalises, "generalises"),
            max_nulls=0 if required else quality.max_nulls(rules),
            rules=quality.beyond_shares(rules),
            lineage=sla.lineage(declared, tables),
            conflict=odcs.strings(extra.get("conflict", []), "conflict"),
            free_text=odcs.boolean(extra.get("freeText", False), "freeText"),
            provided=odcs.boolean(extra.get("provided", False), "provided"),
            category=_category(extra),
        )


def _basis(extra: Entry) -> str:
    with odcs.at(extra.lines.get("legalBasis", 0)):
        odcs.require_known([extra["legalBasis"]], BASES, "legalBasis")
        return str(extra["legalBasis"])


def _category(extra: Entry) -> str | None:
    """The item's category of personal data: a listed term of DPV's extension `pd`."""
    if "category" not in extra:
        return None
    with odcs.at(extra.lines["category"]):
        term = odcs.string(extra["category"], "category")
        odcs.require_known([term], dpv_terms(CATEGORIES), "category of personal data")
        return term


def _domain(extra: Entry) -> Column | None:
    if "domain" not in extra:
        return None
    with odcs.at(extra.lines["domain"]):
        odcs.want(isinstance(extra["domain"], dict), f"domain is {extra['domain']!r}")
        return column(extra["domain"])


def _lines(tables: Sequence[Entry]) -> dict[str, int]:
    """Where each item is declared, the last time."""
    return {
        str(each["name"]).replace("-", "_"): odcs.line(each)
        for table in tables
        for each in table["properties"]
    }


def _promised(
    items: Mapping[str, Item], data: Mapping[str, Any], lines: Mapping[str, int]
) -> dict[str, Item]:
    """The items with the service levels that the source promises."""
    for each in items.values():
        with odcs.at(lines[each.name]):
            odcs.require_known(each.lineage, items, f"item that {each.name} is derived from")
            odcs.want(
                not each.conflict or each.system in each.conflict,
                f"{each.name}: {each.system} keeps it, but the conflict rule does not name it: "
                f"{[*each.conflict]}",
            )
    frequency = sla.by_field(data, Level.FREQUENCY, items, {Level.FREQUENCY})
    return {name: replace(each, frequency=frequency.get(name)) for name, each in items.items()}
