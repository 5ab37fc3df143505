"""Clause C2 of specs/company.md at size: misspelt keys and values of another kind are refused."""

import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import copytree

import pytest
from jsonschema import Draft7Validator
from typer.testing import CliRunner

from gate.contracts import company, editor_schemas, strict_yaml
from gate.contracts.odcs import ContractError
from portal.commands import app
from tests.bank import BANK
from tests.campaign import sized

KEY = re.compile(r"(?<=[\s{,])([A-Za-z][A-Za-z0-9_-]*)(?=:\s)")
VALUE = re.compile(r"property: ([A-Za-z]+), value: ([^\[{\n][^,}\n]*)")
# What is said in words of the company's own: any text is one. A table that is missing is found by
# `sovereign contracts check`, which asks the source.
FREE = {"deliveries", "producer", "update"}
OTHERS = ("{old}x", "", "no", "[1]", "-1")
PARTS = sized(24, 1)  # one in so many


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The bank, and a telecom company as `sovereign init` proposes it."""
    made = tmp_path_factory.mktemp("companies")
    telco = BANK.parent / "telco"
    words = ["init", str(made / "telco"), "--from", str(telco / "customers.csv")]
    words += ["--codebook", str(telco / "codebook.json"), "--origin", "t.example/consent"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    return [copytree(BANK, made / "bank"), made / "telco"]


def mutations(text: str) -> Iterator[tuple[str, str]]:
    """What was changed, and the text with the change."""
    for found in KEY.finditer(text):
        begin = text.rfind("\n", 0, found.start()) + 1
        if "#" not in text[begin : found.start()]:
            yield f"{_line(text, found)}: {found[1]}x", _changed(text, found, 1, f"{found[1]}x")
    for found in VALUE.finditer(text):
        for other in OTHERS if found[1] not in FREE else ():
            new = other.format(old=found[2])
            if new != found[2]:
                yield f"{_line(text, found)}: {found[1]} {new!r}", _changed(text, found, 2, new)


def _line(text: str, found: re.Match[str]) -> str:
    number = text.count("\n", 0, found.start()) + 1
    return f"line {number}"


def _changed(text: str, found: re.Match[str], group: int, new: str) -> str:
    return f"{text[: found.start(group)]}{new}{text[found.end(group) :]}"


def refused_by(schema: Draft7Validator, text: str) -> bool:
    """Whether an editor marks the file; one that is no YAML is marked without a schema."""
    try:
        return not schema.is_valid(strict_yaml.load(text.encode()))
    except strict_yaml.YamlError:
        return True


def refused(load: Callable[[], object]) -> str:
    try:
        load()
    except ContractError as error:
        return str(error)
    return ""


def kind(path: Path) -> str:
    return {"sources": "source", "scenes": "scene"}[path.parent.name]


def test_c15_editors_accept_what_the_product_reads(folders: list[Path]) -> None:
    schemas = {name: Draft7Validator(each) for name, each in editor_schemas.every().items()}
    for each in schemas.values():
        Draft7Validator.check_schema(each.schema)
    for folder in folders:
        schemas["company"].validate(tomllib.loads((folder / "company.toml").read_text("utf-8")))
        for path in sorted(folder.rglob("*.odcs.yaml")):
            schemas[kind(path)].validate(strict_yaml.load(path.read_bytes()))


@pytest.mark.campaign
def test_c15_editors_mark_every_misspelt_key(folders: list[Path]) -> None:
    """Except names of systems and languages, which are the company's own: `check` finds them."""
    schemas = {name: Draft7Validator(each) for name, each in editor_schemas.every().items()}
    tried, unmarked = 0, list[str]()
    for folder in folders:
        read = company.load(folder)
        own = {f"{name}x" for name in (*read.source.systems, *read.languages)}
        for path in sorted(folder.rglob("*.odcs.yaml")):
            for number, (what, changed) in enumerate(mutations(path.read_text("utf-8"))):
                key = what.rpartition(": ")[2]
                if number % sized(72, 1) or "'" in key or key in own:
                    continue
                tried += 1
                if not refused_by(schemas[kind(path)], changed):
                    unmarked.append(f"{path.name} {what}")
    assert tried >= sized(10, 700)
    assert unmarked == []


UNMARKED = {
    "an unknown setting": 'origin = "a.example/b"\nnmae = "x"\n',
    "no origin": 'name = "x"\n',
    "a role that is none": 'origin = "a.example/b"\n[roles]\ngreting = {}\n',
    "a role without an item": (
        'origin = "a.example/b"\n[roles]\ngreeting = { scene = "a", service = "b" }\n'
    ),
}


@pytest.mark.parametrize("why", UNMARKED)
def test_c15_editors_mark_a_wrong_company_file(why: str) -> None:
    schema = Draft7Validator(editor_schemas.company_file())
    assert not schema.is_valid(tomllib.loads(UNMARKED[why]))


def test_c15_the_example_has_the_schemas_and_passes_them() -> None:
    telco = BANK.parent / "telco"
    schemas = {name: Draft7Validator(each) for name, each in editor_schemas.every().items()}
    schemas["company"].validate(tomllib.loads((telco / "company.toml").read_text("utf-8")))
    for path in sorted(telco.rglob("*.odcs.yaml")):
        schemas[kind(path)].validate(strict_yaml.load(path.read_bytes()))
    for name, content in editor_schemas.files().items():
        same = (telco / name).read_text("utf-8") == content
        assert same, "run: sovereign schema examples/telco"


def test_c15_init_writes_the_schemas_and_each_file_names_its_own(folders: list[Path]) -> None:
    telco = folders[1]
    for path in (telco / "company.toml", *telco.rglob("*.odcs.yaml")):
        named = re.split(r"=|:schema ", path.read_text("utf-8").splitlines()[0])[-1]
        assert (path.parent / named).is_file(), path
    for name, content in editor_schemas.files().items():
        assert (telco / name).read_text("utf-8") == content


@pytest.mark.campaign
def test_c2_no_mutation_is_accepted(folders: list[Path]) -> None:
    tried = 0
    accepted: list[str] = []
    nowhere: list[str] = []
    for folder in folders:
        for path in sorted(folder.rglob("*.odcs.yaml")):
            text = path.read_text("utf-8")
            for number, (what, changed) in enumerate(mutations(text)):
                if number % PARTS:
                    continue
                path.write_text(changed, "utf-8")
                message = refused(lambda folder=folder: company.load(folder))  # type: ignore[misc] # called at once
                path.write_text(text, "utf-8")
                tried += 1
                if not message:
                    accepted.append(f"{path.name} {what}")
                elif "line " not in message and str(path) not in message:
                    nowhere.append(message)
    assert tried >= sized(60, 1500)
    assert accepted == []
    assert nowhere == []
