"""17.5: the bill of materials has everything that the product depends on."""

import json
import tomllib
from pathlib import Path

import pytest
from cyclonedx.output.json import JsonV1Dot6
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.bill_of_materials import InvalidListError, bill
from tests.licences import PRODUCT, closure

ROOT = Path(__file__).parents[1]


def test_it_lists_every_distribution_and_what_the_product_needs() -> None:
    made = json.loads(bill())
    assert (made["bomFormat"], made["specVersion"]) == ("CycloneDX", "1.6")
    assert made["metadata"]["component"]["name"] == PRODUCT
    listed = {each["name"]: each["version"] for each in made["components"]}
    installed: dict[str, str] = {
        canonicalize_name(each.name): each.version for each in closure(PRODUCT)
    }
    assert listed | {PRODUCT: installed[PRODUCT]} == installed
    assert all(each["licenses"] for each in made["components"])
    needs = {each["ref"]: each.get("dependsOn", []) for each in made["dependencies"]}
    stated = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    direct = {canonicalize_name(Requirement(each).name) for each in stated}
    of_product = needs[f"pkg:pypi/{PRODUCT}@{installed[PRODUCT]}"]
    assert {each.split("/")[1].split("@")[0] for each in of_product} == direct


def test_a_list_that_does_not_follow_the_schema_is_not_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def cut_off(self: object, **_: object) -> str:
        return '{"bomFormat": "CycloneDX", "specVersion": "1.6", "components": 7}'

    monkeypatch.setattr(JsonV1Dot6, "output_as_string", cut_off)
    with pytest.raises(InvalidListError):
        bill()
