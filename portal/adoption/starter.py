"""Proposes a company's folder for its tables of customers: a source contract and three scenes.

What nobody can know from a table is written as a text to edit, in every language of the product.
Domains come from enumerations and check constraints of the database or from a codebook.
Columns are named as the source names them: see gate.reads.sources.duckdb for CSV files.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from gate.contracts import editor_schemas, odcs
from gate.reads.sources.description import DescribedColumn
from ledger.tlog import atomic_file
from portal.adoption import labels, starter_scenes
from portal.adoption.codebook import CodebookEntry, normal
from portal.adoption.starter_scenes import StarterItem, StarterScene

SYSTEM = "customer-table"
ONE_LINE = 130  # characters
_NAMES = {"greeting": ("name", "full_name", "customer_name"), "letters": ("email", "e_mail")}
_POLICY = """\
// Which service may read in which scene, on top of what contracts and customers allow. This rule
// adds nothing to them; rules of your own can only take away: `forbid (…) when { … };`
@id("what-contracts-name")
permit (principal, action == Action::"read", resource);
"""


class StarterError(ValueError):
    """No folder can be proposed. Says what was wanted and found, and what to do."""


@dataclass(frozen=True, slots=True)
class StarterTable:
    """A table of one row a customer. `key`: its column with the customer's id."""

    name: str
    key: str
    columns: Sequence[DescribedColumn]


@dataclass(frozen=True, slots=True)
class StarterFolder:
    """The files of a folder by path, and what is left to do."""

    files: Mapping[str, str]
    without_domain: Sequence[str]  # items that are never synthesised until they have one
    unused: Sequence[str]  # items of no scene


class _Flow(dict[str, Any]):
    """A mapping that stands in one line of YAML."""


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - as the library calls it
        """Contracts have neither anchors nor aliases: each value is written out."""
        return True


_Dumper.add_representer(
    _Flow, lambda dumper, data: dumper.represent_mapping("tag:yaml.org,2002:map", data, True)
)


def propose(
    tables: Sequence[StarterTable],
    *,
    origin: str,
    source: str,
    book: Mapping[str, CodebookEntry],
    languages: Sequence[str] = odcs.LANGUAGES,
) -> StarterFolder:
    """`tables`: that of the customers first. `languages`: of every text. Raises StarterError."""
    if wrong := [each for each in languages if not odcs.LANGUAGE.fullmatch(each)]:
        raise StarterError(f"language {', '.join(wrong)}: want tags such as en or zh-CN")
    items = [
        [_item(each, book, joined=number > 0) for each in _values(table)]
        for number, table in enumerate(tables)
    ]
    every = [item for its in items for item in its]
    known = {each.name for each in every}
    if unknown := sorted({*book} - known - {normal(table.key) for table in tables}):
        raise StarterError(
            f"the codebook has {', '.join(unknown)}: want some of {', '.join(sorted(known))}"
        )
    scenes = starter_scenes.propose(every)
    needed = {each.name for each in scenes[0].items}
    main = tables[0]
    files = {
        "company.toml": _company(origin, source, known, languages),
        f"sources/{_id(main.name)}.odcs.yaml": _written(
            labels.complete(_source(tables, items, needed), languages),
            "Where each item comes from. Edit titles, producer, update and legal basis.",
            "source",
        ),
        "policy/organisation.cedar": _POLICY,
        "services.toml": _services(scenes, languages),
    }
    for order, scene in enumerate(scenes, 1):
        files[f"scenes/{scene.id}.odcs.yaml"] = _written(
            labels.complete(_scene(scene, main.name, order), languages),
            f"What customers read on their page. {scene.comment}",
            "scene",
        )
    files |= editor_schemas.files()
    used = {item.name for scene in scenes for item in scene.items}
    return StarterFolder(
        files,
        [each.name for each in every if each.domain is None],
        [each.name for each in every if each.name not in used],
    )


def write(proposal: StarterFolder, folder: Path) -> None:
    """Write the files into a folder that has none of them. Raises StarterError."""
    if folder.exists() and any(folder.iterdir()):
        raise StarterError(f"{folder} is not empty: name another folder")
    for name, content in proposal.files.items():
        # A source's address may hold a password.
        atomic_file.write(folder / name, content.encode(), atomic_file.OWNER_ONLY)


def key_of(columns: Sequence[DescribedColumn]) -> str:
    """The primary key, or the only column whose name says that it is one. Raises StarterError."""
    keys = [each.name for each in columns if each.key]
    keys = keys or [each.name for each in columns if re.search(r"(^|_)(customer_?)?id$", each.name)]
    if len(keys) != 1:
        raise StarterError(
            f"want the column with the customer's id, found {', '.join(keys) or 'none'}: name it "
            f"with --key; columns: {_listed(columns)}"
        )
    return keys[0]


def _listed(columns: Sequence[DescribedColumn]) -> str:
    return ", ".join(each.name for each in columns)


def _values(table: StarterTable) -> list[DescribedColumn]:
    """The columns of a table but its key. Raises StarterError."""
    if table.key not in {each.name for each in table.columns}:
        raise StarterError(
            f"no column {table.key!r}: want one of {_listed(table.columns)}; name it with --key"
        )
    values = [each for each in table.columns if each.name != table.key]
    if odd := [each.name for each in values if normal(each.name) != each.name]:
        raise StarterError(
            f"columns {', '.join(odd)}: want names of small letters, digits and underscores; make "
            "a view that has them"
        )
    return values


def _item(
    column: DescribedColumn, book: Mapping[str, CodebookEntry], *, joined: bool
) -> StarterItem:
    """`joined`: of a further table, in which a customer may have no row."""
    entry = book.get(column.name, CodebookEntry())
    label, domain = column.label or column.name, _declared(column)
    if domain is not None and joined:
        domain["nullable"] = True
    return StarterItem(
        column.name,
        column.kind,
        label,
        labels.title(label, entry.description or column.comment, entry.title),
        entry.domain or domain,
        column.required,
        entry.description,
    )


def _declared(column: DescribedColumn) -> dict[str, Any] | None:
    """The domain that the database declares."""
    if column.values:
        return {"kind": "categories", "values": [*column.values], "other": column.values[-1]}
    if column.kind == "boolean":
        return {"kind": "categories", "values": ["false", "true"], "other": "false"}
    return None


def _company(origin: str, source: str, names: set[str], languages: Sequence[str]) -> str:
    roles = [
        f'{role} = {{ scene = "service", service = "this-page", item = "{item}" }}'
        for role, wanted in _NAMES.items()
        if (item := next((each for each in wanted if each in names), None))
    ]
    return "\n".join(
        [
            f"#:schema ./{editor_schemas.place('company')}",
            "",
            "# The name of the consent log, in every receipt. It is chosen once: check it now.",
            f"origin = {json.dumps(origin)}",
            "",
            "# Where customers' rows are: postgresql://…, a DuckDB, SQLite, CSV or Parquet file.",
            f"source = {json.dumps(source)}",
            "",
            "# The languages of pages and of every text in the contracts, that of readers who ask",
            "# for none of them first.",
            f"languages = {json.dumps([*languages])}",
            "",
            "# Who is responsible: stated in consent records, which are made once all six are set.",
            '# name = "…"',
            '# id = "https://…"',
            '# address = "…"',
            '# email = "…"',
            '# jurisdiction = "EU"',
            '# storage_location = "EU"',
            "",
            "# What the product itself reads, to greet a customer, to send copies of receipts, and",
            "# to name customers on the desk (desk = …): specs/company.md.",
            "[roles]",
            *roles,
            "# Scenes that a browser's Global Privacy Control signal withdraws:",
            "global_privacy_control = []",
            "",
            "# How your pages look. Colours need a contrast of 4.5 to 1 with the pages.",
            "# [brand]",
            '# title = "…"',
            '# logo = "logo.svg"',
            '# colour = "#1f5c56"',
            '# dark_colour = "#8fd0c7"',
            "",
        ]
    )


def _custom(properties: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [_property(name, value) for name, value in properties.items()]


def _property(name: str, value: Any) -> dict[str, Any]:
    """In one line if it is short."""
    flat = _Flow(property=name, value=value)
    return flat if len(str(flat)) <= ONE_LINE else {**flat}


def _id(table: str) -> str:
    return odcs.slug(normal(table).replace("_", "-") or "customers")


def _contract(name: str, schema: Sequence[Any], properties: Sequence[Any]) -> dict[str, Any]:
    return {
        "apiVersion": odcs.API_VERSION,
        "kind": "DataContract",
        "id": name,
        "version": "1.0.0",
        "status": "active",
        "name": name.capitalize(),
        "schema": [*schema],
        "customProperties": [*properties],
    }


def _table(name: str, properties: Sequence[Any]) -> dict[str, Any]:
    return {"name": name, "logicalType": "object", "properties": [*properties]}


def _source(
    tables: Sequence[StarterTable], items: Sequence[Sequence[StarterItem]], needed: set[str]
) -> dict[str, Any]:
    schema, systems = [], {}
    for number, (table, its) in enumerate(zip(tables, items, strict=True)):
        system = f"{_id(table.name)}-table" if number else SYSTEM
        named = labels.title(table.name)
        systems[system] = named if number else labels.text("customer-table")
        key = next(each for each in table.columns if each.name == table.key)
        declared = [{"name": key.name, "logicalType": key.kind, "primaryKey": True}]
        declared += [_source_item(each, system, each.name in needed) for each in its]
        schema.append(_table(table.name, declared))
    return _contract(_id(tables[0].name), schema, _custom({"systems": systems}))


def _source_item(item: StarterItem, system: str, is_needed: bool) -> dict[str, Any]:
    declared: dict[str, Any] = {"name": item.name, "logicalType": item.kind}
    properties: dict[str, Any] = {
        "title": item.title,
        "system": system,
        "producer": "to be stated",
        "update": "to be stated",
        "legalBasis": "contract" if is_needed else "consent",
    }
    if item.domain is not None:
        properties["domain"] = item.domain
    declared |= {"description": item.description} if item.description else {}
    declared |= {"required": True} if item.required else {}
    return declared | {"customProperties": _custom(properties)}


def _scene(scene: StarterScene, table: str, order: int) -> dict[str, Any]:
    fields = [
        {
            "name": each.name,
            "logicalType": each.kind,
            "customProperties": _custom({"use": scene.use}),
        }
        for each in scene.items
    ]
    properties = _custom({"order": order, **scene.properties})
    return _contract(scene.id, [_table(table, fields)], properties)


_SERVICES = """# Who asks for data. Each scene's contract names its services with the same title,
# and `sovereign check` compares them. More keys: quota, quotas, on_behalf_of (agents), entity
# (partners).
"""


def _services(scenes: Sequence[StarterScene], languages: Sequence[str]) -> str:
    """services.toml, of the services that the scenes' contracts name."""
    named: dict[str, tuple[Mapping[str, Any], list[str]]] = {}
    for scene in scenes:
        for each in scene.properties["services"]:
            named.setdefault(each["id"], (each, []))[1].append(scene.id)
    return _SERVICES + "".join(
        _registered(labels.complete(each, languages), where) for each, where in named.values()
    )


def _registered(service: Mapping[str, Any], scenes: Sequence[str]) -> str:
    titles = ", ".join(f"{at} = {_quoted(text)}" for at, text in service["title"].items())
    return (
        f"\n[{service['id']}]\ntitle = {{ {titles} }}\n"
        f"partner = {str(service['partner']).lower()}\n"
        f"scenes = [{', '.join(map(_quoted, scenes))}]\n"
    )


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _written(data: Mapping[str, Any], comment: str, kind: str) -> str:
    text = yaml.dump(dict(data), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=160)
    schema = f"# yaml-language-server: $schema=../{editor_schemas.place(kind)}"
    return f"{schema}\n# {comment}\n{text}"
