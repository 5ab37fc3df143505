"""Clauses 1.1 to 1.9 of specs/portal.md."""

import json
from collections.abc import Callable
from copy import deepcopy
from datetime import timedelta
from pathlib import Path
from shutil import copy, copytree
from typing import Any

import jsonschema
import open_data_contract_standard
import pytest
import yaml

from gate.contracts import scene_file as contract
from gate.contracts import source as source_contract
from gate.contracts.odcs import ContractError
from gate.contracts.scene import Fallback, LegalBasis, Scene
from gate.contracts.source import SourceContract
from synthetic.completion.mode import Mode
from synthetic.model.domain import Numbers
from tests.bank import SCENES_FOLDER, SOURCE_CONTRACT

SOURCE_FILE = SOURCE_CONTRACT
SCENE_FILES = sorted((SCENES_FOLDER).glob("*.odcs.yaml"))
SCHEMA = Path(open_data_contract_standard.__file__).parent / "schema.json"

PURPOSES = {  # W3C DPV 2.3 and its AI extension, and the fallback of each scene
    "contract-service": ("RequestedServiceProvision", Fallback.WITHHOLD),
    "service-reminder": ("CommunicationForCustomerCare", Fallback.WITHHOLD),
    "lead-scoring": ("CustomerRelationshipManagement", Fallback.SYNTHETIC),
    "direct-marketing": ("DirectMarketing", Fallback.WITHHOLD),
    "recommendation": ("ProvidePersonalisedRecommendations", Fallback.SYNTHETIC),
    "nearest-branch": ("ServicePersonalisation", Fallback.GENERALISE),
    "anomaly-detection": ("FraudPreventionAndDetection", Fallback.SYNTHETIC),
    "renewal-forecast": ("CustomerSolvencyMonitoring", Fallback.SYNTHETIC),
    "segmentation": ("ServiceUsageAnalytics", Fallback.SYNTHETIC),
    "ads-device-id": ("PersonalisedAdvertising", Fallback.GENERALISE),
    "third-party-sharing": ("SellDataToThirdParties", Fallback.WITHHOLD),
    "ai-training": ("ai:ModelTraining", Fallback.SYNTHETIC),
    "anonymous-statistics": ("ServiceUsageAnalytics", Fallback.WITHHOLD),
}


@pytest.fixture(scope="module")
def source() -> SourceContract:
    return source_contract.load_source(SOURCE_FILE)


@pytest.fixture(scope="module")
def scenes(source: SourceContract) -> dict[str, Scene]:
    return contract.load_scenes(SCENES_FOLDER, source)


@pytest.mark.parametrize("path", [SOURCE_FILE, *SCENE_FILES], ids=lambda path: path.name)
def test_every_contract_is_valid_against_the_odcs_schema(path: Path) -> None:
    schema = json.loads(SCHEMA.read_text())
    checker = jsonschema.validators.validator_for(schema)(schema)
    errors = [error.message for error in checker.iter_errors(yaml.safe_load(path.read_text()))]
    assert errors == []


def test_there_are_twelve_scenes_and_the_statistics_with_their_purposes_and_fallbacks(
    scenes: dict[str, Scene],
) -> None:
    assert {s.id: (s.purpose, s.fallback) for s in scenes.values()} == PURPOSES
    assert [*scenes] == [*PURPOSES]  # in the order in which customers see them


def test_only_the_contract_service_is_locked(scenes: dict[str, Scene]) -> None:
    assert [each.id for each in scenes.values() if each.locked] == ["contract-service"]
    assert scenes["contract-service"].legal_basis is LegalBasis.CONTRACT


def test_every_text_is_there_in_every_language(
    source: SourceContract, scenes: dict[str, Scene]
) -> None:
    texts = [*source.systems.values(), *(item.title for item in source.items.values())]
    for scene in scenes.values():
        texts += [scene.title, scene.summary, scene.consequence, scene.alternative]
        texts += [each.title for each in scene.services]
        texts += [each.use for each in scene.fields.values()]
    assert all([*text] == ["en", "zh-CN", "de"] and all(text.values()) for text in texts)
    assert all(any("\u4e00" <= letter <= "\u9fff" for letter in text["zh-CN"]) for text in texts)
    assert all(text["en"].isascii() for text in texts)


def test_ai_training_covers_every_published_column(
    source: SourceContract, scenes: dict[str, Scene]
) -> None:
    published = [name for name, item in source.items.items() if item.domain]
    assert len(published) == 17
    assert [*scenes["ai-training"].fields] == published


def test_a_generalised_field_is_a_field_of_its_own(scenes: dict[str, Scene]) -> None:
    coarser = {
        (scene.id, name): field.generalised_by
        for scene in scenes.values()
        for name, field in scene.fields.items()
        if field.fallback is Fallback.GENERALISE
    }
    assert coarser == {
        ("nearest-branch", "location"): "postcode_area",
        ("anomaly-detection", "device_id"): "ip_range",
        ("ads-device-id", "device_id"): "ip_range",
    }


def test_what_has_no_public_domain_is_never_synthesised(scenes: dict[str, Scene]) -> None:
    fields = [field for scene in scenes.values() for field in scene.fields.values()]
    unsafe = [f for f in fields if f.item.domain is None and f.fallback is Fallback.SYNTHETIC]
    assert unsafe == []
    assert scenes["lead-scoring"].fields["name"].fallback is Fallback.WITHHOLD


def test_synthetic_scenes_declare_what_they_are_asked(scenes: dict[str, Scene]) -> None:
    synthetic = [each for each in scenes.values() if each.fallback is Fallback.SYNTHETIC]
    assert all(len(each.workload) >= 5 for each in synthetic)
    assert all("month" in each.fields for each in synthetic if each.trends)
    assert all(scene.domain.shape(group) for scene in synthetic for group in scene.workload)


def test_a_service_is_admitted_only_where_the_contract_names_it(scenes: dict[str, Scene]) -> None:
    assert scenes["segmentation"].admits("analytics")
    assert not scenes["segmentation"].admits("sales-desk")


def test_partners_are_only_in_the_scene_that_names_them(scenes: dict[str, Scene]) -> None:
    sharing = {s.id for s in scenes.values() if any(service.partner for service in s.services)}
    assert sharing == {"third-party-sharing"}


def test_the_public_domain_covers_the_published_range(source: SourceContract) -> None:
    balance = source.items["balance"].domain
    assert isinstance(balance, Numbers)
    assert (balance.lower, balance.upper) == (-10000, 120000)


def test_the_digest_names_the_bytes_of_the_file(tmp_path: Path, source: SourceContract) -> None:
    copy = tmp_path / "segmentation.odcs.yaml"
    raw = (SCENES_FOLDER / copy.name).read_bytes()
    copy.write_bytes(raw + b"# a remark\n")
    first = contract.load_scene(SCENES_FOLDER / copy.name, source)
    assert contract.load_scene(copy, source).digest != first.digest
    assert contract.load_scene(copy, source).title == first.title


def test_g110_scenes_that_are_answered_synthetically_complete_their_tables_anchored(
    scenes: dict[str, Scene],
) -> None:
    for scene in scenes.values():
        anchored = scene.completion is Mode.RELEASE_ANCHORED
        assert anchored == (scene.fallback is Fallback.SYNTHETIC), scene.id


def test_g110_a_contract_that_names_no_mode_completes_naively(
    tmp_path: Path, source: SourceContract
) -> None:
    data = yaml.safe_load((SCENES_FOLDER / "segmentation.odcs.yaml").read_text())
    _drop("completion")(data)
    _drop("population")(data)
    path = tmp_path / "segmentation.odcs.yaml"
    path.write_text(yaml.safe_dump(data, allow_unicode=True))
    assert contract.load_scene(path, source).completion is Mode.NAIVE


Change = Callable[[dict[str, Any]], object]


def _put(name: str, value: object) -> Change:
    """Set a custom property of the contract."""

    def change(data: dict[str, Any]) -> None:
        rest = [each for each in data["customProperties"] if each["property"] != name]
        data["customProperties"] = [*rest, {"property": name, "value": value}]

    return change


def _drop(name: str) -> Change:
    def change(data: dict[str, Any]) -> None:
        data["customProperties"] = [e for e in data["customProperties"] if e["property"] != name]

    return change


def _field(number: int, **changes: object) -> Change:
    return lambda data: data["schema"][0]["properties"][number].update(changes)


def _use(*properties: tuple[str, object]) -> list[dict[str, object]]:
    return [{"property": name, "value": value} for name, value in properties]


WORDS = {"en": "words", "zh-CN": "文字"}
SERVICE = {"id": "analytics", "title": WORDS, "partner": False}
BAD_SCENES: dict[str, Change] = {
    "another version of the standard": lambda data: data.update(apiVersion="v2.2.2"),
    "no id": lambda data: data.pop("id"),
    "id is not a slug": lambda data: data.update(id="Ségmentation"),
    "id with capitals": lambda data: data.update(id="Segmentation"),
    "id is a number": lambda data: data.update(id=9),
    "id is empty": lambda data: data.update(id=""),
    "no version": lambda data: data.pop("version"),
    "no schema": lambda data: data.pop("schema"),
    "empty schema": lambda data: data.update(schema=[]),
    "no fields": lambda data: data["schema"][0].update(properties=[]),
    "too many fields": lambda data: data["schema"][0].update(
        properties=data["schema"][0]["properties"] * 3
    ),
    "field twice": _field(1, name="age"),
    "unknown field": _field(0, name="shoe_size"),
    "field without a use": _field(0, customProperties=[]),
    "field without custom properties": lambda data: data["schema"][0]["properties"][0].pop(
        "customProperties"
    ),
    "use in no language": _field(0, customProperties=_use(("use", {}))),
    "use in what is no language": _field(0, customProperties=_use(("use", {"English": "age"}))),
    "unknown fallback of a field": _field(
        0, customProperties=_use(("use", WORDS), ("fallback", "guess"))
    ),
    "generalised without the coarser item": _field(
        0, customProperties=_use(("use", WORDS), ("fallback", "generalise"))
    ),
    "no custom properties": lambda data: data.pop("customProperties"),
    "custom properties are a list of words": lambda data: data.update(customProperties=["title"]),
    "no title": _drop("title"),
    "no consequence": _drop("consequence"),
    "no alternative": _drop("alternative"),
    "title in no language": _put("title", {}),
    "title blank in Chinese": _put("title", {"en": "Segmentation", "zh-CN": " "}),
    "title is a text": _put("title", "Segmentation"),
    "title is a number": _put("title", {"en": 9, "zh-CN": 9}),
    "no legal basis": _drop("legalBasis"),
    "unknown legal basis": _put("legalBasis", "because we want to"),
    "no purpose": _drop("purpose"),
    "purpose is a sentence": _put("purpose", "to plan"),
    "purpose is a number": _put("purpose", 9),
    "unknown fallback": _put("fallback", "raw"),
    "consent for ever": _put("longestConsentDays", 0),
    "consent for a negative time": _put("longestConsentDays", -1),
    "consent for half a day": _put("longestConsentDays", 0.5),
    "consent for a truth value": _put("longestConsentDays", True),
    "consent beyond the calendar": _put("longestConsentDays", 10**12),
    "order is a word": _put("order", "first"),
    "no services": _put("services", []),
    "service twice": _put("services", [SERVICE, SERVICE]),
    "service id is not a slug": _put("services", [SERVICE | {"id": "Analytics team"}]),
    "partner is a word": _put("services", [SERVICE | {"partner": "false"}]),
    "service without a title": _put("services", [{"id": "analytics", "partner": False}]),
    "group-by over an unknown field": _put("workload", [["shoe_size"]]),
    "group-by over the same field twice": _put("workload", [["age", "age"]]),
    "group-by is a word": _put("workload", ["age"]),
    "group-by of lists": _put("workload", [[["age"]]]),
    "trend over an unknown field": _put("trends", ["shoe_size"]),
    "completion is a word": _put("completion", "naive"),
    "completion without a mode": _put("completion", {}),
    "completion in an unknown mode": _put("completion", {"mode": "best"}),
    "completion from counts that nobody takes": _put("completion", {"mode": "dp-counts"}),
    "completion in a list of modes": _put("completion", {"mode": ["naive"]}),
    "completion that says more": _put("completion", {"mode": "naive", "controls": ["age"]}),
    "completion of what is withheld": _put("fallback", "withhold"),
}


@pytest.mark.parametrize("change", BAD_SCENES.values(), ids=BAD_SCENES.keys())
def test_a_bad_scene_contract_is_refused_and_the_file_named(
    change: Change, tmp_path: Path, source: SourceContract
) -> None:
    data = deepcopy(yaml.safe_load((SCENES_FOLDER / "segmentation.odcs.yaml").read_text()))
    change(data)
    path = tmp_path / "bad.odcs.yaml"
    path.write_text(yaml.safe_dump(data, allow_unicode=True))
    with pytest.raises(ContractError, match=r"bad\.odcs\.yaml: ."):
        contract.load_scene(path, source)


BAD_SOURCES: dict[str, Change] = {
    "no systems": _drop("systems"),
    "undeclared system": _put("systems", {"crm": WORDS}),
    "system in no language": _put("systems", {"core-banking": {}}),
    "item twice": _field(1, name="age"),
    "item without a type": lambda data: data["schema"][0]["properties"][0].pop("logicalType"),
    "item name with a blank": _field(0, name="shoe size"),
    "item with an unknown domain": _field(
        0,
        customProperties=_use(
            ("title", WORDS),
            ("system", "crm"),
            ("producer", "us"),
            ("update", "daily"),
            ("legalBasis", "consent"),
            ("domain", {"kind": "words"}),
        ),
    ),
    "generalises what is not there": _field(
        0,
        customProperties=_use(
            ("title", WORDS),
            ("system", "crm"),
            ("producer", "us"),
            ("update", "daily"),
            ("legalBasis", "consent"),
            ("generalises", "shoe_size"),
        ),
    ),
}


@pytest.mark.parametrize("change", BAD_SOURCES.values(), ids=BAD_SOURCES.keys())
def test_a_bad_source_contract_is_refused_and_the_file_named(
    change: Change, tmp_path: Path
) -> None:
    data = yaml.safe_load(SOURCE_FILE.read_text())
    change(data)
    path = tmp_path / "bad.odcs.yaml"
    path.write_text(yaml.safe_dump(data, allow_unicode=True))
    with pytest.raises(ContractError, match=r"bad\.odcs\.yaml: ."):
        source_contract.load_source(path)


UNREADABLE = {
    "not YAML": b"a: [",
    "not UTF-8": b"\xff\xfe\xfd",
    "a list": b"- a\n",
    "nothing": b"",
    "an impossible date": b"apiVersion: 2026-99-99\n",
    "nested without end": b"[" * 100_000,
    "nested block in block": b"- " * 100_000,
}


@pytest.mark.parametrize("raw", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_an_unreadable_contract_is_refused_and_the_file_named(raw: bytes, tmp_path: Path) -> None:
    path = tmp_path / "bad.odcs.yaml"
    path.write_bytes(raw)
    with pytest.raises(ContractError, match=r"bad\.odcs\.yaml: "):
        source_contract.load_source(path)


def test_a_missing_contract_is_refused_and_the_file_named(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r"gone\.odcs\.yaml: "):
        source_contract.load_source(tmp_path / "gone.odcs.yaml")


def test_a_folder_without_contracts_is_refused(tmp_path: Path, source: SourceContract) -> None:
    with pytest.raises(ContractError, match="one contract per scene, found 0"):
        contract.load_scenes(tmp_path, source)


@pytest.mark.parametrize("change", [_put("order", 8), lambda data: data.update(id="other")])
def test_two_contracts_for_one_scene_or_one_place_are_refused(
    change: Change, tmp_path: Path, source: SourceContract
) -> None:
    data = yaml.safe_load((SCENES_FOLDER / "segmentation.odcs.yaml").read_text())
    (tmp_path / "a.odcs.yaml").write_text(yaml.safe_dump(data))
    change(data)
    (tmp_path / "b.odcs.yaml").write_text(yaml.safe_dump(data))
    with pytest.raises(ContractError, match=r"one contract per scene|the same order"):
        contract.load_scenes(tmp_path, source)


def test_a_contract_says_how_late_how_often_and_how_long(
    source: SourceContract, scenes: dict[str, Scene]
) -> None:
    service = scenes["contract-service"]
    assert service.latency == {"balance": timedelta(hours=24), "phone": timedelta(hours=1)}
    assert scenes["segmentation"].latency.keys() == scenes["segmentation"].fields.keys()
    assert all(scene.retention for scene in scenes.values())
    assert source.items["balance"].frequency == timedelta(days=1)
    assert (source.items["name"].max_nulls, source.items["job"].max_nulls) == (0, 500)


def test_a_contract_says_where_an_item_comes_from_and_which_system_wins(
    source: SourceContract,
) -> None:
    assert source.items["ip_range"].lineage == ("device_id",)
    assert source.items["phone"].conflict == ("sms-platform", "crm")
    assert all(item.producer and item.update and item.legal_basis for item in source.items.values())


def _level(**changes: object) -> Change:
    level = {"property": "latency", "value": 1, "unit": "h", "element": "customer.age"} | changes
    return lambda data: data["slaProperties"].append(level)


BAD_LEVELS: dict[str, Change] = {
    "for a field that does not exist": _level(element="customer.shoe_size"),
    "in half hours": _level(value=0.5),
    "of no time": _level(value=0),
    "of a truth value": _level(value=True),
    "in an unknown unit": _level(unit="fortnight"),
    "without a unit": lambda data: data["slaProperties"].append(
        {"property": "latency", "value": 1, "element": "customer"}
    ),
    "without an element": lambda data: data["slaProperties"].append(
        {"property": "latency", "value": 1, "unit": "h"}
    ),
    "two retentions": _level(property="retention"),
    "a reminder a day too often": _put("reminderDays", 0),
    "a substitute outside the scene": _field(
        0, customProperties=_use(("use", WORDS), ("substitute", "email"))
    ),
    "a substitute for itself": _field(
        0, customProperties=_use(("use", WORDS), ("substitute", "age"))
    ),
    "a version of two numbers": lambda data: data.update(version="1.0"),
    "consent since a version to come": _put("consentSince", "1.0.3"),
    "a field since no version": _field(0, customProperties=_use(("use", WORDS), ("since", "new"))),
    "another type than the source": _field(0, logicalType="string"),
}


@pytest.mark.parametrize("change", BAD_LEVELS.values(), ids=BAD_LEVELS.keys())
def test_a_service_level_that_cannot_be_kept_is_refused(
    change: Change, tmp_path: Path, source: SourceContract
) -> None:
    test_a_bad_scene_contract_is_refused_and_the_file_named(change, tmp_path, source)


BAD_ITEMS: dict[str, Change] = {
    "derived from what does not exist": _field(0, transformSourceObjects=["customer.shoe_size"]),
    "nulls in pages": _field(
        0,
        required=False,
        quality=[{"metric": "nullValues", "mustBeLessOrEqualTo": 5, "unit": "pages"}],
    ),
    "more nulls than rows": _field(
        0,
        required=False,
        quality=[{"metric": "nullValues", "mustBeLessOrEqualTo": 101, "unit": "percent"}],
    ),
    "a conflict won by a stranger": _field(
        0,
        customProperties=_use(
            ("title", WORDS),
            ("system", "crm"),
            ("producer", "us"),
            ("update", "daily"),
            ("legalBasis", "consent"),
            ("conflict", ["core-banking", "web-analytics"]),
        ),
    ),
    "a conflict with an unknown system": _field(
        0,
        customProperties=_use(
            ("title", WORDS),
            ("system", "crm"),
            ("producer", "us"),
            ("update", "daily"),
            ("legalBasis", "consent"),
            ("conflict", ["crm", "a-rumour"]),
        ),
    ),
}


@pytest.mark.parametrize("change", BAD_ITEMS.values(), ids=BAD_ITEMS.keys())
def test_an_item_whose_origin_is_unclear_is_refused(change: Change, tmp_path: Path) -> None:
    test_a_bad_source_contract_is_refused_and_the_file_named(change, tmp_path)


def _statistics(change: Change, folder: Path, source: SourceContract) -> None:
    """Load the shipped scenes with a changed contract for statistics."""
    copytree(SCENES_FOLDER, folder)
    path = folder / "anonymous-statistics.odcs.yaml"
    data = yaml.safe_load(path.read_text("utf-8"))
    change(data)
    path.write_text(yaml.safe_dump(data, allow_unicode=True), "utf-8")
    contract.load_scenes(folder, source)


def _second(data: dict[str, Any]) -> None:
    data["schema"][0]["properties"][0] = {
        "name": "name",
        "logicalType": "string",
        "customProperties": [{"property": "use", "value": WORDS}],
    }


NO_STATISTICS: dict[str, tuple[Change, str]] = {
    "another shape": (_put("shapes", ["statistics", "table"]), "want statistics alone"),
    "answers tables": (_put("shapes", ["table"]), "no scene has the shape statistics"),
    "on consent": (
        lambda data: (_put("legalBasis", "consent")(data), _put("longestConsentDays", 9)(data)),
        "want legitimate-interest",
    ),
    "a name": (_second, "have no public domain to be counted in"),
    "synthetic": (_put("fallback", "synthetic"), "answers about nobody"),
    "surrogates": (_put("surrogates", "independent"), "answers about nobody"),
    "an item too few": (
        lambda data: data["schema"][0]["properties"].pop(0),
        r"no \['age'\]: add the fields there",
    ),
}


@pytest.mark.parametrize("why", NO_STATISTICS)
def test_g165_statistics_that_are_more_or_less_are_refused(
    why: str, tmp_path: Path, source: SourceContract
) -> None:
    change, wanted = NO_STATISTICS[why]
    with pytest.raises(ContractError, match=wanted):
        _statistics(change, tmp_path / "scenes", source)


def test_g165_a_population_needs_tables_that_rest_on_it(
    tmp_path: Path, source: SourceContract
) -> None:
    copytree(SCENES_FOLDER, folder := tmp_path / "scenes")
    path = folder / "segmentation.odcs.yaml"
    text = path.read_text("utf-8")
    path.write_text(text.replace("mode: release-anchored", "mode: naive"), "utf-8")
    with pytest.raises(ContractError, match="set completion to it"):
        contract.load_scenes(folder, source)
    path.write_text(text.replace("not-objecting", "everybody"), "utf-8")
    with pytest.raises(ContractError, match="population"):
        contract.load_scenes(folder, source)
    path.write_text(text, "utf-8")
    copy(folder / "anonymous-statistics.odcs.yaml", folder / "more.odcs.yaml")
    more = (folder / "more.odcs.yaml").read_text("utf-8")
    changed = more.replace("id: anonymous-statistics\n", "id: more\n")
    changed = changed.replace("order, value: 13", "order, value: 14")
    (folder / "more.odcs.yaml").write_text(changed, "utf-8")
    with pytest.raises(ContractError, match="want one scene with it"):
        contract.load_scenes(folder, source)
