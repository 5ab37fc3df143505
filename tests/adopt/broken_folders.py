"""Companies' folders that are broken in one place, so that they mean something else.

Each kind of mutation is tried at every place of the two examples where it fits. `Removed` takes
away the check that refuses a kind, for a test that must then find the mutants accepted.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gate.contracts import company, odcs, quality, scene_file, sla, strict_yaml
from gate.contracts.scene import ENDLESS
from portal.commands import company as commands
from synthetic.model import domain

SCENES, SOURCES = "scenes/*.odcs.yaml", "sources/*.odcs.yaml"
CONTRACTS = "s*/*.odcs.yaml"
TOML, REGISTER, RULES = "company.toml", "services.toml", "policy/organisation.cedar"

Edits = Iterator[tuple[int, str]]  # place in the text, and the whole text with the change


@dataclass(frozen=True, slots=True)
class Removed:
    """A check that is replaced by one that finds nothing."""

    module: Any
    name: str
    instead: Any


@dataclass(frozen=True, slots=True)
class Kind:
    """`files`: a pattern in the folder. `edits`: the mutations of one text. `checks`: without them
    mutants are accepted; empty: other checks refuse them too. `only`: of the folder and of what is
    changed, whether the change means something there."""

    files: str
    edits: Callable[[str], Edits]
    checks: tuple[Removed, ...] = ()
    only: Callable[[Path, str], bool] = lambda _folder, _changed: True


@dataclass(frozen=True, slots=True)
class Broken:
    kind: str
    path: Path
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.path.name} line {self.line}"


def changed(pattern: str, *instead: str) -> Callable[[str], Edits]:
    """Group 1 of each match, replaced by each of the texts; {0} is what stands there."""

    def edits(text: str) -> Edits:
        for found in re.finditer(pattern, text, re.MULTILINE):
            for each in instead:
                new = each.replace("{0}", found[1])
                if new != found[1]:
                    yield found.start(1), text[: found.start(1)] + new + text[found.end(1) :]

    return edits


def removed(pattern: str) -> Callable[[str], Edits]:
    """Each match left out."""

    def edits(text: str) -> Edits:
        for found in re.finditer(pattern, text, re.MULTILINE):
            yield found.start(), text[: found.start()] + text[found.end() :]

    return edits


def doubled(pattern: str) -> Callable[[str], Edits]:
    """Each match twice."""

    def edits(text: str) -> Edits:
        for found in re.finditer(pattern, text, re.MULTILINE):
            yield found.start(), text[: found.end()] + found[0] + text[found.end() :]

    return edits


def in_a_scene(folder: Path, item: str) -> bool:
    """Whether a scene has the item."""
    line = item.splitlines()[0]
    return any(line in each.read_text("utf-8").splitlines() for each in folder.glob(SCENES))


def in_a_role(folder: Path, scene_file: str) -> bool:
    """Whether a signal withdraws the scene, or its grants allow training."""
    wanted = re.search(r"^id: ([\w-]+)", scene_file, re.MULTILINE)
    roles = re.findall(r"^(?:global|ai_).*", (folder / TOML).read_text("utf-8"), re.MULTILINE)
    return wanted is not None and f'"{wanted[1]}"' in "".join(roles)


def second_object(text: str) -> Edits:
    """A second table in a scene's contract."""
    found = re.search(r"^schema:\n", text, re.MULTILINE)
    assert found is not None
    more = "  - name: other\n    logicalType: object\n    properties: [{name: a}]\n"
    yield found.end(), text[: found.end()] + more + text[found.end() :]


def nothing(*_: Any, **__: Any) -> None:
    """A check that finds nothing wrong."""


def _last_of_doubles(node: Any) -> strict_yaml.Entry:
    entry = strict_yaml.Entry()
    entry.line, entry.lines = strict_yaml._line(node), {}
    for key, value in node.value:
        name = strict_yaml._key(key)
        entry[name], entry.lines[name] = strict_yaml._value(value), strict_yaml._line(key)
    return entry


def _last_property(declared: Any, _known: Any) -> strict_yaml.Entry:
    found = strict_yaml.Entry()
    found.line, found.lines = odcs.line(declared), {}
    for each in declared["customProperties"]:
        found[each["property"]], found.lines[each["property"]] = each["value"], odcs.line(each)
    return found


def _first_table(data: Any) -> Any:
    return odcs.tables(data)[-1]


def _any_categories(spec: Any) -> Any:
    values = tuple(map(str, spec["values"]))
    return domain.Categories(values, str(spec["other"]))


def _first_known(_word: Any, known: Any, _what: str) -> str:
    return str(known[0])


def _any_days(_extra: Any) -> Any:
    return ENDLESS


def _a_day(_declared: Any) -> Any:
    return sla.UNITS["d"]


ANY_NAME = Removed(odcs, "require_known", nothing)
NO_ROLES = (Removed(company._CompanyFile, "roles", lambda *_: company.Roles()),)
NO_COMPARISON = (Removed(company, "_differences", lambda *_: ()),)
ITEM = r"^      - name: \w+\n(?:        .*\n)+"
KINDS: dict[str, Kind] = {
    "an item that a scene uses is gone": Kind(SOURCES, removed(ITEM), only=in_a_scene),
    "an item twice": Kind(SOURCES, doubled(ITEM)),
    "a field twice": Kind(SCENES, doubled(ITEM)),
    "a key twice": Kind(
        CONTRACTS,
        doubled(r"^(?:version|status|name|domain|        logicalType): .*\n"),
        (Removed(strict_yaml, "_entry", _last_of_doubles),),
    ),
    "a custom property twice": Kind(
        SCENES,
        doubled(r"^  - \{property: \w+, value: .*\}\n"),
        (Removed(odcs, "custom", _last_property),),
    ),
    "a basis that has no consents to end": Kind(
        SCENES,
        changed(r"property: legalBasis, value: (\w+)", "legitimate-interest", "legal-obligation"),
        (Removed(scene_file, "_longest", _any_days),),
    ),
    "a basis without consent where a role wants one": Kind(
        SCENES,
        changed(r"property: legalBasis, value: (consent)", "contract"),
        NO_ROLES,
        in_a_role,
    ),
    "an unknown basis": Kind(
        CONTRACTS, changed(r"property: legalBasis, value: (\w[\w-]*)", "{0}s", "Consent")
    ),
    "another purpose": Kind(
        SCENES, changed(r'property: purpose, value: "?([\w:]+)', "{0}x", "Foo"), (ANY_NAME,)
    ),
    "a misspelt item": Kind(SCENES, changed(r"^      - name: (\w+)", "{0}x")),
    "a misspelt system": Kind(
        SOURCES, changed(r"property: system, value: ([\w-]+)", "{0}x"), (ANY_NAME,)
    ),
    "a misspelt property": Kind(CONTRACTS, changed(r"\{property: (\w+),", "{0}n")),
    "a misspelt service": Kind(
        SCENES,
        changed(r"^      - \{id: ([\w-]+)", "{0}x"),
        (
            Removed(company, "_differences", lambda *_: ()),
            Removed(company._CompanyFile, "roles", lambda *_: company.Roles()),
        ),
    ),
    "a scene that services.toml misspells": Kind(
        REGISTER,
        changed(r'^scenes = \["([\w-]+)"', "{0}x"),
        NO_COMPARISON,
    ),
    "a service that services.toml misspells": Kind(
        REGISTER,
        changed(r"^\[([\w-]+)\]", "{0}x"),
        NO_COMPARISON,
    ),
    "a partner who is called none": Kind(
        REGISTER,
        changed(r"^partner = (true|false)", "true", "false"),
        NO_COMPARISON,
    ),
    "a role's misspelt name": Kind(
        TOML, changed(r'(?:scene|service|item) = "([\w-]+)"', "{0}x"), NO_ROLES
    ),
    "a signal's misspelt scene": Kind(
        TOML, changed(r'^global_privacy_control = \["([\w-]+)"', "{0}x")
    ),
    "a misspelt setting": Kind(
        TOML,
        changed(r"^(name|id|address|email|jurisdiction|storage_location) =", "{0}s"),
        (ANY_NAME,),
    ),
    "a misspelt key": Kind(
        CONTRACTS, changed(r"^        (required|quality):", "{0}s"), (ANY_NAME,)
    ),
    "a unit of quality that is none": Kind(
        SOURCES,
        changed(r"unit: (percent)", "percents", "permille", "rowz"),
        (Removed(quality, "_known", _first_known),),
    ),
    "a unit of time that is none": Kind(
        SCENES,
        changed(r"value: \d+, unit: (\w)", "fortnight", "M", "mo"),
        (Removed(sla, "_time", _a_day),),
    ),
    "another metric": Kind(SOURCES, changed(r"metric: (nullValues)", "nulValues", "rowCount")),
    "a value that is no text": Kind(
        SOURCES,
        changed(r"kind: categories, values: \[([^,\]]+)", "true", "null", "1", "0.5", "~"),
        (Removed(domain, "_categories", _any_categories),),
    ),
    "another value that is no text, as `other`": Kind(
        SOURCES,
        changed(r"kind: categories.* other: ([^}]+)\}", "true", "elsewhere", "~"),
        (Removed(domain, "_categories", _any_categories),),
    ),
    "edges that fall": Kind(
        SOURCES,
        changed(r"kind: numbers, lower: (-?\d+)", "999999"),
        (Removed(domain, "_require_rising", nothing),),
    ),
    "a contract that is not active": Kind(
        CONTRACTS,
        changed(r"^status: (active)", "retired", "draft", "deprecated"),
        (Removed(odcs, "STATED", {}),),
    ),
    "a document of another kind": Kind(
        CONTRACTS, changed(r"^kind: (DataContract)", "DataProduct"), (Removed(odcs, "STATED", {}),)
    ),
    "another version of the standard": Kind(
        CONTRACTS, changed(r"^apiVersion: (v3.1.0)", "v2.2.2", "v4.0.0")
    ),
    "a second table in a scene": Kind(
        SCENES, second_object, (Removed(odcs, "table", _first_table),)
    ),
    "a scene of the policy that does not exist": Kind(
        RULES,
        changed(r'Scene::"([\w-]+)"', "{0}x"),
        (Removed(commands, "_unknown_names", lambda _: ()),),
    ),
    "a type that the source does not have": Kind(
        SCENES, changed(r"^        logicalType: (\w+)", "date", "boolean")
    ),
    "no consents at all": Kind(
        SCENES, changed(r"property: longestConsentDays, value: (\d+)", "0", "-1", "yes")
    ),
    "an unknown fallback": Kind(
        SCENES, changed(r"property: fallback, value: (\w+)", "{0}s", "personal")
    ),
    "text in one language": Kind(CONTRACTS, removed(r", zh-CN: [^}\n]+(?=\}\})")),
}


def every(folder: Path) -> Iterator[Broken]:
    """All mutants of a folder, by kind."""
    for name, kind in KINDS.items():
        for path in sorted(folder.glob(kind.files)):
            text = path.read_text("utf-8")
            for place, new in kind.edits(text):
                if not kind.only(folder, text[place:] if kind.only is in_a_scene else text):
                    continue
                yield Broken(name, path, text.count("\n", 0, place) + 1, new)


def refusals(broken: Broken, folder: Path) -> list[str]:
    """What `sovereign check` prints of the folder with this fault, one a line.

    The rules of the policy are compiled only where the mutant is one of them.
    """
    found = commands.faults if broken.path.suffix == ".cedar" else company.faults
    text = broken.path.read_text("utf-8")
    try:
        broken.path.write_text(broken.text, "utf-8")
        return [*found(folder)]
    finally:
        broken.path.write_text(text, "utf-8")
