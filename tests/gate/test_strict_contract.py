"""A contract is read as it is written, or refused with file and line: specs/portal.md 1.9, 1.10."""

from datetime import timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gate.contracts import strict_yaml
from gate.contracts.odcs import ContractError
from gate.contracts.quality import Metric, Unit
from gate.contracts.scene import Scene
from gate.contracts.scene_file import load_scene
from gate.contracts.source import SourceContract, load_source
from gate.contracts.strict_yaml import YamlError
from portal.commands.synthesis.synth import app
from tests.bank import SCENES_FOLDER, SOURCE_CONTRACT

SOURCE = (SOURCE_CONTRACT).read_text("utf-8")
SCENE = (SCENES_FOLDER / "segmentation.odcs.yaml").read_text("utf-8")
DEFAULT = '{property: domain, value: {kind: categories, values: ["no", "yes"], other: "no"}}'
JOB = "quality: [{metric: nullValues, mustBeLessOrEqualTo: 5, unit: percent}]"
LATENCY = "  - {property: latency, value: 24, unit: h, element: customer, driver: analytics}\n"
RETENTION = "{property: retention, value: 2, unit: y, element: customer, driver: regulatory}"


def source(folder: Path, old: str, new: str) -> SourceContract:
    return load_source(_edited(folder / "source.odcs.yaml", SOURCE, old, new))


def scene(folder: Path, old: str, new: str) -> Scene:
    return load_scene(_edited(folder / "scene.odcs.yaml", SCENE, old, new), shipped())


def shipped() -> SourceContract:
    return load_source(SOURCE_CONTRACT)


def _edited(path: Path, text: str, old: str, new: str) -> Path:
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return path


def domain(text: str) -> str:
    return f"{{property: domain, value: {text}}}"


PLAIN: dict[str, Any] = {
    "no": "no",
    "yes": "yes",
    "On": "On",
    "off": "off",
    "01": "01",
    "007": "007",
    "-0": "-0",
    "+1": "+1",
    "1_000": "1_000",
    "1e3": "1e3",
    "1.50": "1.50",
    ".5": ".5",
    "0x10": "0x10",
    "0o17": "0o17",
    "12:30": "12:30",
    "2026-01-01": "2026-01-01",
    "2026-01-01T10:00:00Z": "2026-01-01T10:00:00Z",
    ".nan": ".nan",
    ".inf": ".inf",
    "12": 12,
    "-3": -3,
    "0.5": 0.5,
    "true": True,
    "false": False,
    "null": None,
    "~": None,
    '"12"': "12",
    "'true'": "true",
}


@pytest.mark.parametrize("written", PLAIN)
def test_a_plain_scalar_is_what_it_spells(written: str) -> None:
    read = strict_yaml.load(f"a: {written}".encode())["a"]
    assert (read, type(read)) == (PLAIN[written], type(PLAIN[written]))


NOT_READ = {
    "a key twice": "a: 1\nb: 2\na: 3",
    "a key twice in a flow mapping": "a: 0\nb: {c: 1, c: 2}",
    "a key twice, once quoted": 'a: 0\nb: {c: 1, "c": 2}',
    "a key twice, deep down": "a: 0\nb: [[{c: {d: 1, d: 2}}]]",
    "an anchor": "a: 0\nb: &x 1",
    "an alias": "a: &x 1\nb: *x",
    "a merge key": "a: 0\nb: {<<: {c: 1}}",
    "a tag": "a: 0\nb: !!str 1",
    "a tag of Python": "a: 0\nb: !!python/object/apply:os.system [ls]",
    "a tag of its own": "a: 0\nb: !money 1",
    "a key that is a list": "a: 0\n? [b]\n: 1",
    "two documents": "a: 0\n---\nb: 1",
}


@pytest.mark.parametrize("why", NOT_READ)
def test_what_could_be_read_in_two_ways_is_refused_with_its_line(why: str) -> None:
    with pytest.raises(YamlError, match=r"line [123]: "):
        strict_yaml.load(NOT_READ[why].encode())


WRITTEN = {
    "[no, yes], other: no": ("no", "yes"),
    "[01, 02, 03], other: 03": ("01", "02", "03"),
    "[1_000, 1e3, 0x10], other: 0x10": ("1_000", "1e3", "0x10"),
    "[2026-01-01, 12:30, On], other: On": ("2026-01-01", "12:30", "On"),
}


@pytest.mark.parametrize("written", WRITTEN)
def test_the_values_of_a_domain_are_those_in_the_file(written: str, tmp_path: Path) -> None:
    read = source(tmp_path, DEFAULT, domain(f"{{kind: categories, values: {written}}}"))
    assert getattr(read.items["default"].domain, "values", None) == WRITTEN[written]


BAD_DOMAINS = {
    "a number": "{kind: categories, values: [1, 2], other: 1}",
    "a truth value": "{kind: categories, values: [true, false], other: false}",
    "null": "{kind: categories, values: [null, a], other: a}",
    "a tilde": "{kind: categories, values: [~, a], other: a}",
    "a list": "{kind: categories, values: [[a], b], other: b}",
    "values that repeat": "{kind: categories, values: [a, b, a], other: a}",
    "other is no text": '{kind: categories, values: ["1", "2"], other: 1}',
    "other is no value": "{kind: categories, values: [a, b], other: c}",
    "no values": "{kind: categories, values: [], other: a}",
    "values are one text": "{kind: categories, values: abc, other: a}",
    "ordered is a word": "{kind: categories, values: [a], other: a, ordered: no}",
    "nullable is a word": "{kind: numbers, lower: 0, upper: 2, edges: [1], nullable: no}",
    "integer is a word": "{kind: numbers, lower: 0, upper: 2, edges: [1], integer: yes}",
    "an edge that is no number": "{kind: numbers, lower: 0, upper: 2, edges: [nan]}",
    "an edge in YAML's nan": "{kind: numbers, lower: 0, upper: 2, edges: [.nan]}",
    "an end without end": "{kind: numbers, lower: 0, upper: inf, edges: [1]}",
    "an edge beyond all floats": "{kind: numbers, lower: 0, upper: 1e999, edges: [1]}",
    "an edge in groups": "{kind: numbers, lower: 0, upper: 2_000, edges: [1]}",
    "an edge in base sixty": "{kind: numbers, lower: 0, upper: 12:30, edges: [1]}",
    "edges are a text": '{kind: numbers, lower: 0, upper: 9, edges: "12"}',
    "a day in weeks": "{kind: dates, lower: 2026-W01-1, upper: 2026-12-31, edges: []}",
    "a day without dashes": '{kind: dates, lower: "20260101", upper: 2026-12-31, edges: []}',
    "an unknown key": "{kind: categories, values: [a], other: a, nulable: true}",
    "no mapping": "categories",
    "nothing": "null",
}


@pytest.mark.parametrize("why", BAD_DOMAINS)
def test_a_domain_that_does_not_say_what_its_values_are_is_refused(
    why: str, tmp_path: Path
) -> None:
    with pytest.raises(ContractError, match=r"source\.odcs\.yaml: line \d+: "):
        source(tmp_path, DEFAULT, domain(BAD_DOMAINS[why]))


BASIS = "{property: legalBasis, value: consent}"
DAYS = "{property: longestConsentDays, value: 730}"
BAD_SCENES = {
    "a value twice": (BASIS, "{property: legalBasis, value: consent, value: contract}"),
    "a property twice": (DAYS, f"{DAYS}\n  - {{property: longestConsentDays, value: 30}}"),
    "a property twice, the same": (DAYS, f"{DAYS}\n  - {DAYS}"),
    "a misspelt property": (DAYS, f"{DAYS}\n  - {{property: consentSinse, value: 1.0.0}}"),
    "a misspelt promise": ("slaProperties:", "slaProprties:"),
    "a key of a property": (BASIS, "{property: legalBasis, value: consent, valu: contract}"),
    "a service level twice": (LATENCY, LATENCY * 2),
    "a service level twice, narrower": (
        LATENCY,
        LATENCY + "  - {property: ly, value: 1, unit: h, element: customer.age}\n",
    ),
    "a field twice in one level": (
        LATENCY,
        '  - {property: ly, value: 1, unit: h, element: "customer.age,age"}\n',
    ),
    "an unknown level": (LATENCY, "  - {property: delay, value: 1, unit: h}\n"),
    "a level that nobody measures": (LATENCY, "  - {property: availability, value: 99}\n"),
    "a level of the source": (LATENCY, "  - {property: fy, value: 1, unit: d}\n"),
    "a level that is a number": (LATENCY, "  - {property: 7, value: 1, unit: h}\n"),
    "an extended value": (LATENCY, "  - {property: ly, value: 1, valueExt: 3, unit: h}\n"),
    "months": (LATENCY, "  - {property: ly, value: 1, unit: M}\n"),
    "a retention of one field": (
        RETENTION,
        "{property: retention, value: 2, unit: y, element: customer.age}",
    ),
    "a quality rule in a scene": (
        "logicalType: integer\n",
        "logicalType: integer\n        quality: [{metric: nullValues, mustBe: 0}]\n",
    ),
    "a required field in a scene": (
        "logicalType: integer\n",
        "logicalType: integer\n        required: true\n",
    ),
    "a second table": ("slaProperties:", "  - name: other\n    properties: []\nslaProperties:"),
    "a version that is a number": ("version: 1.0.2", "version: 1.5"),
}


@pytest.mark.parametrize("why", BAD_SCENES)
def test_a_scene_in_which_something_is_not_understood_is_refused(why: str, tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r"scene\.odcs\.yaml: "):
        scene(tmp_path, *BAD_SCENES[why])


LEVELS = {
    "ly": ("d", timedelta(days=4)),
    "Latency": ("day", timedelta(days=4)),
    "LY": ("Days", timedelta(days=4)),
    "latency": ("hours", timedelta(hours=4)),
}


@pytest.mark.parametrize("name", LEVELS)
def test_service_levels_have_synonyms_in_any_case_and_need_no_element(
    name: str, tmp_path: Path
) -> None:
    unit, span = LEVELS[name]
    read = scene(tmp_path, LATENCY, f"  - {{property: {name}, value: 4, unit: {unit}}}\n")
    assert {*read.latency.values()} == {span}
    assert read.latency.keys() == read.fields.keys()


def test_a_retention_under_its_synonym_is_a_retention(tmp_path: Path) -> None:
    assert scene(tmp_path, RETENTION, "{property: RE, value: 2, unit: yr}").retention == timedelta(
        days=730
    )


NULLS = {  # the rules of `job` -> its limit in ten-thousandths
    "{type: library, rule: nullValues, mustBe: 0}": 0,
    "{metric: nullValues, mustBe: 0, unit: rows}": 0,
    "{metric: NULLVALUES, mustBe: 0, unit: Percent}": 0,
    "{metric: nullValues, mustBeLessOrEqualTo: 0.5, unit: percent}": 50,
    "{metric: nullValues, mustBeLessOrEqualTo: 10, unit: percent},"
    " {metric: nullValues, mustBeLessOrEqualTo: 1, unit: percent}": 100,
}


@pytest.mark.parametrize("written", NULLS)
def test_null_values_are_limited_as_the_standard_writes_it(written: str, tmp_path: Path) -> None:
    item = source(tmp_path, JOB, f"quality: [{written}]").items["job"]
    assert (item.max_nulls, item.rules) == (NULLS[written], ())


RULES = {  # a rule of `job` -> how many of 200 rows keep it, and how many do not
    "{metric: nullValues, mustBeLessThan: 1, unit: percent}": (1, 2),
    "{metric: nullValues, mustBeLessThan: 100}": (99, 100),
    "{metric: nullValues, mustBeLessOrEqualTo: 5, unit: rows}": (5, 6),
    "{metric: nullValues, mustBe: 3}": (3, 2),
    "{metric: nullValues, mustNotBe: 3}": (2, 3),
    "{metric: nullValues, mustBeGreaterThan: 3}": (4, 3),
    "{metric: nullValues, mustBeGreaterOrEqualTo: 3}": (3, 2),
    "{metric: nullValues, mustBeBetween: [1, 2], unit: percent}": (4, 5),
    "{metric: nullValues, mustNotBeBetween: [1, 2], unit: percent}": (5, 4),
    '{metric: missingValues, arguments: {missingValues: [null, "", n/a]}, mustBeLessThan: 3}': (
        2,
        3,
    ),
}


@pytest.mark.parametrize("written", RULES)
def test_every_operator_of_the_standard_is_checked(written: str, tmp_path: Path) -> None:
    item = source(tmp_path, JOB, f"quality: [{written}]").items["job"]
    (rule,) = item.rules
    kept, missed = RULES[written]
    assert (item.max_nulls, rule.satisfied_by(kept, 200), rule.satisfied_by(missed, 200)) == (
        None,
        True,
        False,
    )


def test_all_rules_of_one_metric_are_kept_side_by_side(tmp_path: Path) -> None:
    two = "{metric: nullValues, mustBeLessThan: 9}, {metric: nullValues, mustBeLessThan: 3}"
    read = source(tmp_path, JOB, f"quality: [{two}]").items["job"].rules
    assert [each.bounds for each in read] == [(Fraction(9),), (Fraction(3),)]
    assert {(each.metric, each.unit) for each in read} == {(Metric.NULL_VALUES, Unit.ROWS)}


BAD_RULES = {
    "an unknown metric": "{metric: emptyValues, mustBe: 0}",
    "a metric that nobody measures": "{metric: duplicateValues, mustBe: 0}",
    "no metric": "{mustBe: 0}",
    "metric and rule": "{metric: nullValues, rule: nullValues, mustBe: 0}",
    "no operator": "{metric: nullValues}",
    "a misspelt operator": "{metric: nullValues, mustBe: 0, mustBeLesThan: 1}",
    "a limit that is a text": '{metric: nullValues, mustBe: "0"}',
    "a limit that is true": "{metric: nullValues, mustBe: true}",
    "a limit below 0": "{metric: nullValues, mustBeLessThan: -1}",
    "a limit that is no number": "{metric: nullValues, mustBeLessThan: .nan}",
    "a hundred and one per cent": "{metric: nullValues, mustBeLessThan: 101, unit: percent}",
    "an unknown unit": "{metric: nullValues, mustBe: 0, unit: pages}",
    "a range of one": "{metric: nullValues, mustBeBetween: [1]}",
    "a range that falls": "{metric: nullValues, mustBeBetween: [2, 1]}",
    "arguments of nullValues": "{metric: nullValues, mustBe: 0, arguments: {a: 1}}",
    "missing values that are not named": "{metric: missingValues, mustBe: 0}",
    "missing values that are numbers": (
        "{metric: missingValues, mustBe: 0, arguments: {missingValues: [0]}}"
    ),
    "SQL": "{type: sql, query: SELECT 1, mustBe: 0}",
    "a text": "{type: text, description: It is good.}",
    "another engine": "{type: custom, engine: soda, implementation: x}",
    "two rules of one name": (
        "{name: a, metric: nullValues, mustBe: 0}, {name: a, metric: nullValues, mustBe: 1}"
    ),
    "no rule at all": "nullValues",
}


@pytest.mark.parametrize("why", BAD_RULES)
def test_a_quality_rule_that_cannot_be_checked_is_refused_with_its_line(
    why: str, tmp_path: Path
) -> None:
    with pytest.raises(ContractError, match=r"source\.odcs\.yaml: line \d+: "):
        source(tmp_path, JOB, f"quality: [{BAD_RULES[why]}]")


BAD_ITEMS = {
    "a promise that nobody checks": (JOB, "unique: true"),
    "required is a word": (JOB, "required: yes"),
    "quality is no list": (JOB, "quality: {metric: nullValues, mustBe: 0}"),
    "a quality rule of the table": (
        "    physicalType: table\n",
        "    physicalType: table\n    quality: [{metric: rowCount, mustBe: 9}]\n",
    ),
    "free text is a word": (DEFAULT, f"{DEFAULT}\n          - {{property: freeText, value: yes}}"),
    "a producer that is null": ("producer, value: loan servicing", "producer, value: ~"),
    "a legal basis that is a number": ("legalBasis, value: consent", "legalBasis, value: 6"),
}


@pytest.mark.parametrize("why", BAD_ITEMS)
def test_an_item_in_which_something_is_not_understood_is_refused(why: str, tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r"source\.odcs\.yaml: line \d+: "):
        source(tmp_path, *BAD_ITEMS[why])


def test_the_command_names_file_and_line_of_a_duplicate(tmp_path: Path) -> None:
    path = _edited(tmp_path / "scene.odcs.yaml", SCENE, *BAD_SCENES["a value twice"])
    rows = tmp_path / "rows.csv"
    rows.write_text("age\n1\n", encoding="utf-8")
    known = SOURCE_CONTRACT
    asked = ["--rows", rows, "--scene", path, "--source", known, "--to", tmp_path / "o.json"]
    done = CliRunner().invoke(app, ["fit", *map(str, asked)])
    line = SCENE[: SCENE.index(BASIS)].count("\n") + 1
    assert done.exit_code == 1
    assert f"{path}: cannot be read as YAML: line {line}: 'value'" in done.output
