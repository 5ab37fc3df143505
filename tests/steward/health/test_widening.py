"""A contract that breaks or widens says so, or takes effect nowhere (V1–V9)."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
import yaml

from gate.contracts import company
from gate.contracts.odcs import ContractError
from gate.contracts.scene import LegalBasis, Scene, SceneField, Service
from ledger.events.envelope import ScenePublished
from steward.contracts import publication
from steward.contracts.archive import ContractArchive, MissingContractError
from steward.contracts.widening import (
    ContractDifference,
    DifferenceKind,
    UndeclaredChangeError,
    differences,
    require_declared,
)
from tests.bank import BANK
from tests.gate.scenes import SEGMENTATION, WORDS, item
from tests.gate.world import NOON, World, world

V1 = replace(SEGMENTATION, retention=timedelta(days=30))
PARTNER = Service("broker", WORDS, partner=True)
OTHER_WORDS = {"en": "other words", "zh-CN": "别的词语"}


def age(**changes: Any) -> Scene:
    """Version 1 with another `age`."""
    field = replace(V1.fields["age"], item=replace(V1.fields["age"].item, **changes))
    return replace(V1, fields={**V1.fields, "age": field})


def with_income(**changes: Any) -> Scene:
    income = replace(SceneField(item("income"), WORDS, V1.fallback, None), **changes)
    return replace(V1, fields={**V1.fields, "income": income})


WIDENED = {
    "another purpose": (replace(V1, purpose="DirectMarketing"), "purpose"),
    "another legal basis": (replace(V1, legal_basis=LegalBasis.INTEREST), "legal basis"),
    "another service": (
        replace(V1, services=(*V1.services, Service("sales", WORDS, partner=False))),
        "service sales",
    ),
    "a partner": (replace(V1, services=(*V1.services, PARTNER)), "service broker"),
    "a service becomes a partner": (
        replace(V1, services=tuple(replace(each, partner=True) for each in V1.services)),
        "service analytics",
    ),
    "consent may last longer": (replace(V1, longest=V1.longest * 2), "longest consent"),
    "kept for longer": (replace(V1, retention=timedelta(days=31)), "retention"),
    "kept for ever": (replace(V1, retention=None), "retention"),
}


@pytest.mark.parametrize("why", WIDENED)
def test_what_allows_more_is_widened_and_counts_consent_again(why: str) -> None:
    wider, what = WIDENED[why]
    assert (DifferenceKind.WIDENED, what) in {
        (each.kind, each.what) for each in differences(V1, wider)
    }
    for not_enough in ("1.0.0", "1.0.1", "1.9.9", "2.0.0"):
        with pytest.raises(UndeclaredChangeError, match="consentSince"):
            require_declared(V1, replace(wider, version=not_enough))
    minor = replace(wider, version="1.1.0", consent_since=(1, 1, 0))
    with pytest.raises(UndeclaredChangeError, match=r"want version 2\.0\.0"):
        require_declared(V1, minor)
    assert require_declared(V1, replace(wider, version="2.0.0", consent_since=(2, 0, 0)))


@pytest.mark.parametrize("basis", [LegalBasis.CONTRACT, LegalBasis.OBLIGATION])
@pytest.mark.parametrize("before", [LegalBasis.CONSENT, LegalBasis.INTEREST])
def test_a_scene_that_customers_could_switch_off_is_never_locked(
    before: LegalBasis, basis: LegalBasis
) -> None:
    old = replace(V1, legal_basis=before)
    locked = replace(V1, legal_basis=basis, version="2.0.0", consent_since=(2, 0, 0))
    with pytest.raises(UndeclaredChangeError, match="publish the use as a scene with another id"):
        require_declared(old, locked)


NARROWED = {
    "a shorter consent": replace(V1, longest=timedelta(days=1)),
    "kept for less": replace(V1, retention=timedelta(days=1)),
    "a service fewer": replace(V1, services=V1.services[:1]),
    "a remark": replace(V1, digest="f" * 64),
}


@pytest.mark.parametrize("why", NARROWED)
def test_what_allows_less_needs_nothing(why: str) -> None:
    assert require_declared(V1, NARROWED[why]) == []


def test_a_field_that_is_gone_breaks() -> None:
    fewer = replace(V1, fields={name: f for name, f in V1.fields.items() if name != "age"})
    assert differences(V1, fewer) == [
        ContractDifference(DifferenceKind.BREAKING, "field age", "string", "")
    ]
    with pytest.raises(UndeclaredChangeError, match=r"field age breaking: want version 2\.0\.0"):
        require_declared(V1, replace(fewer, version="1.1.0"))
    assert require_declared(V1, replace(fewer, version="2.0.0"))


RETYPED = {"another type": {"type": "integer"}, "a coarser form": {"generalises": "location"}}


@pytest.mark.parametrize("why", RETYPED)
def test_a_field_that_means_something_else_breaks_and_needs_a_new_grant(why: str) -> None:
    other = replace(age(**RETYPED[why]), version="2.0.0")
    with pytest.raises(UndeclaredChangeError, match=r"field age .*want since 2\.0\.0"):
        require_declared(V1, other)
    dated = {"age": replace(other.fields["age"], since=(2, 0, 0))}
    assert require_declared(V1, replace(other, fields={**other.fields, **dated}))


def test_a_field_more_needs_a_minor_version_and_a_date_of_its_own() -> None:
    with pytest.raises(UndeclaredChangeError, match=r"want version 1\.1\.0.*want since 1\.0\.0"):
        require_declared(V1, with_income())
    with pytest.raises(UndeclaredChangeError, match=r"want since 1\.1\.0"):
        require_declared(V1, replace(with_income(), version="1.1.0"))
    added = require_declared(V1, replace(with_income(since=(1, 1, 0)), version="1.1.0"))
    assert added == [ContractDifference(DifferenceKind.ADDED, "field income", "", "string")]


def test_a_field_that_comes_back_is_a_new_one() -> None:
    without = replace(V1, version="2.0.0")
    back = replace(with_income(since=(1, 1, 0)), version="3.0.0")
    with pytest.raises(UndeclaredChangeError, match=r"want since 3\.0\.0"):
        require_declared(without, back)


def test_other_words_need_a_new_version() -> None:
    reworded = replace(V1, summary=OTHER_WORDS)
    with pytest.raises(UndeclaredChangeError, match="summary reworded: want a new version"):
        require_declared(V1, reworded)
    assert require_declared(V1, replace(reworded, version="1.0.1"))
    use = replace(V1.fields["age"], use=OTHER_WORDS)
    assert [d.what for d in differences(V1, replace(V1, fields={**V1.fields, "age": use}))] == [
        "use of age"
    ]


BACKWARDS = {
    "the version": (V1, replace(V1, version="0.9.0")),
    "what consent counts": (
        replace(V1, version="2.0.0", consent_since=(2, 0, 0)),
        replace(V1, version="2.0.1", consent_since=(1, 0, 0)),
    ),
    "a field's date": (
        replace(with_income(since=(1, 1, 0)), version="1.1.0"),
        replace(with_income(since=(1, 0, 0)), version="1.1.1"),
    ),
}


@pytest.mark.parametrize("why", BACKWARDS)
def test_nothing_goes_back(why: str) -> None:
    with pytest.raises(UndeclaredChangeError, match="only grow"):
        require_declared(*BACKWARDS[why])


@pytest.fixture
def bank(tmp_path: Path) -> World:
    return world(tmp_path / "home", release=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return copytree(BANK, tmp_path / "company")


def publish(bank: World, folder: Path, home: Path) -> list[str]:
    archive = ContractArchive(home / "contracts")
    return publication.publish(bank.ledger, company.load(folder), archive, NOON)


def edit(folder: Path, scene: str, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / "scenes" / f"{scene}.odcs.yaml"
    data = yaml.safe_load(path.read_text())
    change(data)
    path.write_text(yaml.safe_dump(data, allow_unicode=True))


def repurpose(data: dict[str, Any]) -> None:
    for each in data["customProperties"]:
        if each["property"] == "purpose":
            each["value"] = "DirectMarketing"


def test_a_contract_that_changes_while_it_is_published_is_not_announced(
    bank: World, folder: Path, tmp_path: Path
) -> None:
    read, size = company.load(folder), bank.ledger.size
    edit(folder, "segmentation", repurpose)
    with pytest.raises(ContractError, match="changed while it was published"):
        publication.publish(bank.ledger, read, ContractArchive(tmp_path / "contracts"), NOON)
    assert bank.ledger.size == size


def test_a_wider_purpose_under_the_same_version_is_published_nowhere(
    bank: World, folder: Path, tmp_path: Path
) -> None:
    assert len(publish(bank, folder, tmp_path)) == 13
    assert publish(bank, folder, tmp_path) == []
    size = bank.ledger.size
    edit(folder, "segmentation", repurpose)
    with pytest.raises(UndeclaredChangeError, match=r"segmentation.*purpose widened"):
        publish(bank, folder, tmp_path)
    assert bank.ledger.size == size

    def declare(data: dict[str, Any]) -> None:
        data["version"] = "2.0.0"
        data["customProperties"].append({"property": "consentSince", "value": "2.0.0"})

    edit(folder, "segmentation", declare)
    assert publish(bank, folder, tmp_path) == ["segmentation"]
    assert publication.active_contracts(bank.ledger)["segmentation"].version == "2.0.0"


def test_a_contract_of_before_is_not_published_again(
    bank: World, folder: Path, tmp_path: Path
) -> None:
    path = folder / "scenes" / "segmentation.odcs.yaml"
    first = path.read_bytes()
    publish(bank, folder, tmp_path)
    edit(folder, "segmentation", lambda data: data.update(version="1.0.3"))
    publish(bank, folder, tmp_path)
    path.write_bytes(first)
    with pytest.raises(UndeclaredChangeError, match="versions only grow"):
        publish(bank, folder, tmp_path)


def test_without_the_published_contract_only_a_fresh_start_is_let_through(
    bank: World, folder: Path, tmp_path: Path
) -> None:
    bank.ledger.announce([ScenePublished("segmentation", "1.0.0", "0" * 64, NOON)])
    with pytest.raises(MissingContractError, match="restore it from a backup"):
        publish(bank, folder, tmp_path)

    def fresh(data: dict[str, Any]) -> None:
        data["version"] = "2.0.0"
        data["customProperties"].append({"property": "consentSince", "value": "2.0.0"})

    edit(folder, "segmentation", fresh)
    assert "segmentation" in publish(bank, folder, tmp_path)


def test_an_archived_contract_that_was_altered_is_as_good_as_none(
    bank: World, folder: Path, tmp_path: Path
) -> None:
    publish(bank, folder, tmp_path)
    digest = publication.active_contracts(bank.ledger)["segmentation"].digest
    kept = tmp_path / "contracts" / digest / "scene.odcs.yaml"
    kept.write_bytes(kept.read_bytes() + b"# altered\n")
    with pytest.raises(MissingContractError, match="published contract is missing"):
        ContractArchive(tmp_path / "contracts").read(digest)


def test_a_field_has_one_type_in_scene_and_source(folder: Path) -> None:
    edit(
        folder,
        "segmentation",
        lambda data: data["schema"][0]["properties"][0].update(logicalType="string"),
    )
    with pytest.raises(ValueError, match="age is 'string' here and 'integer' in the source"):
        company.load(folder)
