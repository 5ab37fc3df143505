"""The contract of a source: which items it has, where they come from, and their public domains.

ODCS v3.1 YAML (`specs/sources/*.odcs.yaml`), extended only through `customProperties`, parsed into
a `SourceContract`. A complete example: `specs/sources/customer.odcs.yaml`. Normative clauses:
`specs/portal.md`, "Contracts".
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from gate.contracts import odcs, quality, sla, versions
from gate.contracts.odcs import Text
from gate.contracts.quality import QualityRule
from gate.contracts.sla import Level
from gate.contracts.strict_yaml import Entry
from synthetic.model.domain import Column, column

CUSTOM = frozenset({"deliveries", "systems"})
ITEM_CUSTOM = frozenset(
    {"conflict", "domain", "freeText", "generalises", "legalBasis", "producer", "provided"}
    | {"system", "title", "update"}
)
ITEM_KEYS = odcs.DOCUMENTED | {
    "customProperties",
    "logicalType",
    "name",
    "quality",
    "required",
    "transformSourceObjects",
}


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


@dataclass(frozen=True, slots=True)
class SourceContract:
    id: str
    version: str
    digest: str  # SHA-256 of the file, hex
    systems: Mapping[str, Text]
    items: Mapping[str, Item]
    deliveries: str | None = None  # name of the table of deliveries


def specs_folder() -> Path:
    """The folder of the shipped contracts (`scenes/`, `sources/`), in a checkout or a wheel."""
    package = Path(__file__).parents[1]
    inside = package / "specs"
    return inside if inside.is_dir() else package.parent / "specs"


def load_source(path: Path) -> SourceContract:
    """Read a source contract. Raises ContractError."""
    data, digest = odcs.read(path)
    with odcs.reporting(path):
        extra = odcs.custom(data, CUSTOM)
        items = [_item(each) for each in odcs.table(data)["properties"]]
        systems = {str(k): odcs.text(v) for k, v in extra["systems"].items()}
        used = {each.system for each in items}.union(*(each.conflict for each in items))
        odcs.want(used <= systems.keys(), f"undeclared systems, have {[*systems]}")
        names = {each.name: each for each in items}
        odcs.want(len(names) == len(items), "an item is declared twice")
        known = {None, *names}
        odcs.want(
            {i.generalises for i in items} <= known, "generalises an item that does not exist"
        )
        deliveries = odcs.slug(extra["deliveries"]) if "deliveries" in extra else None
        read = SourceContract(
            odcs.slug(data["id"]), versions.text(data["version"]), digest, systems, names
        )
        return replace(read, items=_promised(names, data, systems), deliveries=deliveries)


def _item(declared: dict[str, Any]) -> Item:
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
            legal_basis=odcs.string(extra["legalBasis"], "legalBasis"),
            domain=_domain(extra),
            generalises=None if generalises is None else odcs.string(generalises, "generalises"),
            max_nulls=0 if required else quality.max_nulls(rules),
            rules=quality.beyond_shares(rules),
            lineage=sla.lineage(declared),
            conflict=odcs.strings(extra.get("conflict", []), "conflict"),
            free_text=odcs.boolean(extra.get("freeText", False), "freeText"),
            provided=odcs.boolean(extra.get("provided", False), "provided"),
        )


def _domain(extra: Entry) -> Column | None:
    if "domain" not in extra:
        return None
    with odcs.at(extra.lines["domain"]):
        odcs.want(isinstance(extra["domain"], dict), f"domain is {extra['domain']!r}")
        return column(extra["domain"])


def _promised(
    items: Mapping[str, Item], data: Mapping[str, Any], systems: Mapping[str, Text]
) -> dict[str, Item]:
    """The items with the service levels that the source promises."""
    for each in items.values():
        unknown = {*each.lineage} - items.keys()
        odcs.want(not unknown, f"{each.name} is derived from {sorted(unknown)}, which do not exist")
        odcs.want(
            not each.conflict or each.system in each.conflict,
            f"{each.name}: {each.system} of "
            f"{[*systems]} keeps it, but the conflict rule does not name it",
        )
    frequency = sla.by_field(data, Level.FREQUENCY, items, {Level.FREQUENCY})
    return {name: replace(each, frequency=frequency.get(name)) for name, each in items.items()}
