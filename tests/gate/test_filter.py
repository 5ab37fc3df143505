"""Conditions are held against the contract, whatever the kind of item (G26)."""

from dataclasses import replace
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from gate.contracts.scene import Fallback, Scene
from gate.reads import filter  # noqa: A004 - a filter is what the field calls it
from gate.reads.filter import FilterCondition, FilterError
from synthetic.model.domain import Dates
from tests.gate.scenes import scene

DAYS = Dates(date(2020, 1, 1), date(2030, 12, 31), (date(2025, 1, 1),))
KINDS = {"place": "string", "visits": "integer", "score": "number", "member": "boolean"}


def everything() -> Scene:
    names = dict.fromkeys([*KINDS, "since"], Fallback.WITHHOLD)
    made = scene("all", names, fallback=Fallback.WITHHOLD)
    fields = dict(made.fields)
    for name, kind in KINDS.items():
        fields[name] = replace(fields[name], item=replace(fields[name].item, type=kind))
    item = replace(fields["since"].item, type="date", domain=DAYS)
    fields["since"] = replace(fields["since"], item=item)
    return replace(made, fields=fields)


SCENE = everything()
ROWS = pa.table(
    {
        "place": ["LX01", "LX02", None],
        "visits": [1, 5, 9],
        "score": [0.5, 1.5, None],
        "member": [True, False, None],
        "since": [date(2021, 5, 1), date(2026, 1, 1), None],
    }
)
KEPT: dict[str, tuple[FilterCondition, list[int]]] = {
    "an equal text": (FilterCondition("place", "eq", "LX01"), [1]),
    "another text": (FilterCondition("place", "ne", "LX01"), [5]),
    "one of some texts": (FilterCondition("place", "in", ["LX02", "LX09"]), [5]),
    "a smaller number": (FilterCondition("visits", "lt", 5), [1]),
    "a number at most": (FilterCondition("visits", "le", 5), [1, 5]),
    "a greater number": (FilterCondition("visits", "gt", 5), [9]),
    "a number at least": (FilterCondition("score", "ge", 1), [5]),
    "a fraction": (FilterCondition("score", "lt", 1.25), [1]),
    "a truth": (FilterCondition("member", "eq", value=True), [1]),
    "a day at least": (FilterCondition("since", "ge", "2025-01-01"), [5]),
    "one of some days": (FilterCondition("since", "in", ["2021-05-01"]), [1]),
}


@pytest.mark.parametrize("what", KEPT)
def test_a_condition_keeps_the_rows_it_holds_for_and_none_without_a_value(what: str) -> None:
    condition, visits = KEPT[what]
    tests = filter.check([condition], SCENE)
    assert filter.keep(ROWS, tests, pc.field)["visits"].to_pylist() == visits


def test_all_conditions_must_hold_and_none_keeps_everything() -> None:
    both = filter.check(
        [FilterCondition("visits", "gt", 1), FilterCondition("visits", "lt", 9)], SCENE
    )
    assert filter.keep(ROWS, both, pc.field)["visits"].to_pylist() == [5]
    assert filter.keep(ROWS, (), pc.field) is ROWS


FOREIGN: dict[str, Any] = {
    "a number for a text": FilterCondition("place", "eq", 7),
    "an order of texts": FilterCondition("place", "gt", "LX01"),
    "a text for a whole number": FilterCondition("visits", "eq", "5"),
    "a fraction for a whole number": FilterCondition("visits", "eq", 0.5),
    "truth for a whole number": FilterCondition("visits", "eq", value=True),
    "truth for a number": FilterCondition("score", "eq", value=False),
    "a number for a truth": FilterCondition("member", "eq", 1),
    "an order of truths": FilterCondition("member", "lt", value=True),
    "no day": FilterCondition("since", "eq", "yesterday"),
    "a number for a day": FilterCondition("since", "eq", 20250101),
    "a day outside": FilterCondition("since", "ge", "1999-01-01"),
}


@pytest.mark.parametrize("why", FOREIGN)
def test_what_the_contract_has_no_answer_to_is_an_error(why: str) -> None:
    with pytest.raises(FilterError, match=r"want|order"):
        filter.check([FOREIGN[why]], SCENE)
