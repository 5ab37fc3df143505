"""Every value that left is on its customer's page, and every read there was asked (G32, G133)."""

import os
import shutil
from pathlib import Path
from random import Random

import pytest

from tests.campaign import sized
from tests.features.random_day import Day, play

VALUES = int(os.environ.get("VALUES", "100000"))  # in `make prove`


@pytest.mark.campaign
def test_a_random_day_has_no_difference(unserved: Path, tmp_path: Path) -> None:
    chance, wanted = Random(sized(2, 7)), sized(200, VALUES)
    everybody = [f"c{number:05d}" for number in range(1, 301)]
    people = chance.sample(everybody, sized(5, 300))
    day = Day(shutil.copytree(unserved, tmp_path / "data"), people, chance)
    try:
        play(day, tmp_path, lambda: day.values < wanted or not day.erased, every=sized(18, 200))
        found = day.differences()
        erased = day.differences_of_erased(tmp_path)
    finally:
        day.close_gate()
        day.stop()
    listed = sum(each.total() for each in day.given.values())
    print(  # noqa: T201 - the figure
        f"{day.values:,} personal values left: {listed:,} reads on {len(day.people)} pages, "
        f"{dict(day.marks)}, {len(day.erased)} customers erased, "
        f"{day.broken_off} answers broken off; "
        f"{len(found)} differences on pages, {len(erased)} of erased customers"
    )
    assert found == {}
    assert erased == {}
