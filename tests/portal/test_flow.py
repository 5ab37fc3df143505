"""Clause 3.13 of specs/portal.md: the map is made of contracts and reads together."""

import itertools
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import repeat

import pytest

from gate.contracts.scene import Scene
from gate.contracts.source import SourceContract
from portal.consent.flow import data_map
from tests.bank import contracts

AT = datetime(2026, 11, 21, tzinfo=UTC)


@pytest.fixture(scope="module")
def specs() -> tuple[SourceContract, Mapping[str, Scene]]:
    return contracts()


def test_every_declared_use_is_there(specs: tuple[SourceContract, Mapping[str, Scene]]) -> None:
    source, scenes = specs
    found = data_map.uses(source, scenes, None, Counter(), AT)
    assert {(use.scene, use.item) for use in found} == {
        (scene.id, name) for scene in scenes.values() for name in scene.fields
    }
    assert {use.scene for use in found if use.allowed} == {
        "contract-service",
        "anonymous-statistics",  # until somebody objects
    }
    assert not any(use.reads for use in found)


def test_a_use_that_no_contract_declares_is_marked(
    specs: tuple[SourceContract, Mapping[str, Scene]],
) -> None:
    source, scenes = specs
    read = {"action": "read", "scene": "nearest-branch", "views": {"phone": "personal"}}
    reads = data_map.count([read]).reads
    odd = [use for use in data_map.uses(source, scenes, None, reads, AT) if not use.declared]
    assert [(use.item, use.scene, use.reads) for use in odd] == [("phone", "nearest-branch", 1)]


READ = {
    "action": "read",
    "scene": "segmentation",
    "views": {"age": "personal", "job": "synthetic", "balance": "generalised"},
}


def test_reads_that_gave_the_customers_own_value_are_counted_per_scene_and_item() -> None:
    refused = {"action": "read", "scene": "segmentation", "views": {}}
    asked = READ | {"action": "evaluate"}
    counted = data_map.count([READ, READ | {"action": "table"}, refused, asked])
    assert counted.reads == {("segmentation", "age"): 2, ("segmentation", "balance"): 2}
    assert counted.complete


def test_a_count_of_the_newest_reads_says_so() -> None:
    enough = data_map.count(repeat(READ, data_map.MAX_READS_COUNTED))
    more = data_map.count(repeat(READ, data_map.MAX_READS_COUNTED + 1))
    assert (enough.complete, more.complete) == (True, False)
    assert enough.reads == more.reads


def test_a_picked_item_stands_out_with_its_whole_path(
    specs: tuple[SourceContract, Mapping[str, Scene]],
) -> None:
    source, scenes = specs
    found = data_map.uses(source, scenes, None, Counter(), AT)
    drawn = data_map.draw(source, scenes, found, "balance")
    using = {scene.id for scene in scenes.values() if "balance" in scene.fields}
    assert [node.id for node in drawn.items if node.chosen] == ["balance"]
    assert [node.id for node in drawn.systems if node.chosen] == ["core-banking"]
    assert {node.id for node in drawn.scenes if node.chosen} == using
    assert sum(edge.chosen for edge in drawn.edges) == 1 + len(using)
    assert {use.item for use in drawn.uses} == {"balance"}


def test_an_unknown_pick_shows_everything(
    specs: tuple[SourceContract, Mapping[str, Scene]],
) -> None:
    source, scenes = specs
    found = data_map.uses(source, scenes, None, Counter(), AT)
    drawn = data_map.draw(source, scenes, found, "shoe-size")
    assert drawn.picked is None
    assert len(drawn.uses) == len(found)


def test_boxes_do_not_overlap(specs: tuple[SourceContract, Mapping[str, Scene]]) -> None:
    source, scenes = specs
    found = data_map.uses(source, scenes, None, Counter(), AT)
    drawn = data_map.draw(source, scenes, found, None)
    for column in (drawn.items, drawn.systems, drawn.scenes):
        tops = [node.y for node in column]
        assert all(low + data_map.BOX <= high for low, high in itertools.pairwise(tops))
        assert tops[0] >= 0
        assert tops[-1] + data_map.BOX <= drawn.height
