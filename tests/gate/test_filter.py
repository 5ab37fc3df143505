"""Conditions are held against the contract, whatever the kind of item (G26)."""

from dataclasses import replace
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from gate import filter  # noqa: A004 - a filter is what the field calls it
from gate.contract import Fallback, Scene
from gate.filter import Condition, FilterError
from synthetic.domain import Dates
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
KEPT: dict[str, tuple[Condition, list[int]]] = {
    "an equal text": (Condition("place", "eq", "LX01"), [1]),
    "another text": (Condition("place", "ne", "LX01"), [5]),
    "one of some texts": (Condition("place", "in", ["LX02", "LX09"]), [5]),
    "a smaller number": (Condition("visits", "lt", 5), [1]),
    "a number at most": (Condition("visits", "le", 5), [1, 5]),
    "a greater number": (Condition("visits", "gt", 5), [9]),
    "a number at least": (Condition("score", "ge", 1), [5]),
    "a fraction": (Condition("score", "lt", 1.25), [1]),
    "a truth": (Condition("member", "eq", value=True), [1]),
    "a day at least": (Condition("since", "ge", "2025-01-01"), [5]),
    "one of some days": (Condition("since", "in", ["2021-05-01"]), [1]),
}


@pytest.mark.parametrize("what", KEPT)
def test_a_condition_keeps_the_rows_it_holds_for_and_none_without_a_value(what: str) -> None:
    condition, visits = KEPT[what]
    tests = filter.check([condition], SCENE)
    assert filter.keep(ROWS, tests, pc.field)["visits"].to_pylist() == visits


def test_all_conditions_must_hold_and_none_keeps_everything() -> None:
    both = filter.check([Condition("visits", "gt", 1), Condition("visits", "lt", 9)], SCENE)
    assert filter.keep(ROWS, both, pc.field)["visits"].to_pylist() == [5]
    assert filter.keep(ROWS, (), pc.field) is ROWS


FOREIGN: dict[str, Any] = {
    "a number for a text": Condition("place", "eq", 7),
    "an order of texts": Condition("place", "gt", "LX01"),
    "a text for a whole number": Condition("visits", "eq", "5"),
    "a fraction for a whole number": Condition("visits", "eq", 0.5),
    "truth for a whole number": Condition("visits", "eq", value=True),
    "truth for a number": Condition("score", "eq", value=False),
    "a number for a truth": Condition("member", "eq", 1),
    "an order of truths": Condition("member", "lt", value=True),
    "no day": Condition("since", "eq", "yesterday"),
    "a number for a day": Condition("since", "eq", 20250101),
    "a day outside": Condition("since", "ge", "1999-01-01"),
}


@pytest.mark.parametrize("why", FOREIGN)
def test_what_the_contract_has_no_answer_to_is_an_error(why: str) -> None:
    with pytest.raises(FilterError, match=r"want|order"):
        filter.check([FOREIGN[why]], SCENE)
