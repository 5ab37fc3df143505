import json
from datetime import date
from typing import Any

import pytest

from synthetic.model import domain
from synthetic.model.domain import Categories, Column, Dates, Domain, DomainError, Numbers

COLUMNS: dict[str, Column] = {
    "answer": Categories(("no", "yes"), "no"),
    "grade": Categories(("low", "high"), "low", ordered=True, nullable=True),
    "age": Numbers(18, 96, (25, 40)),
    "rate": Numbers(-0.5, 1.5, (0.25, 1.0), integer=False, nullable=True),
    "since": Dates(date(2024, 1, 1), date(2026, 12, 31), (date(2025, 1, 1),)),
}


def test_a_declaration_parses_back_to_the_same_domain() -> None:
    declared = json.loads(json.dumps(Domain(COLUMNS).declaration()))
    assert domain.parse(declared) == Domain(COLUMNS)
    assert domain.parse(declared).digest == Domain(COLUMNS).digest


def test_a_declaration_holds_no_floats() -> None:
    json.dumps(Domain(COLUMNS).declaration(), allow_nan=False)
    assert "." not in json.dumps(Domain({"age": COLUMNS["age"]}).declaration())


def test_the_digest_changes_with_any_part_of_the_domain() -> None:
    digests = {Domain({name: column}).digest for name, column in COLUMNS.items()}
    wider = Domain({"age": Numbers(18, 97, (25, 40))}).digest
    assert len(digests | {wider, Domain(COLUMNS).digest}) == len(COLUMNS) + 2


@pytest.mark.parametrize(("name", "size"), [("answer", 2), ("grade", 3), ("rate", 4), ("since", 2)])
def test_a_nullable_column_has_one_more_code(name: str, size: int) -> None:
    assert COLUMNS[name].size == size


def test_a_missing_value_counts_as_null_as_other_or_in_the_declared_bin() -> None:
    assert COLUMNS["grade"].null_code == 2
    assert COLUMNS["answer"].null_code == 0
    assert COLUMNS["age"].null_code == 0
    assert domain.column({**NUMBERS, "other": 30}).null_code == 1


NUMBERS: dict[str, Any] = {"kind": "numbers", "lower": 18, "upper": 96, "edges": [25, 40]}
MALFORMED: dict[str, Any] = {
    "no kind": {"values": ["a"], "other": "a"},
    "unknown kind": {"kind": "text"},
    "other is not a value": {"kind": "categories", "values": ["a"], "other": "b"},
    "a value twice": {"kind": "categories", "values": ["a", "a"], "other": "a"},
    "edges fall": {**NUMBERS, "edges": [40, 25]},
    "edge outside": {**NUMBERS, "edges": [10]},
    "edges missing": {"kind": "numbers", "lower": 1, "upper": 2},
    "not a number": {**NUMBERS, "lower": "low"},
    "not a date": {"kind": "dates", "lower": "2024-13-01", "upper": "2025-01-01", "edges": []},
    "no mapping": None,
}


@pytest.mark.parametrize("spec", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_column_is_refused(spec: Any) -> None:
    with pytest.raises(DomainError):
        domain.column(spec)


def test_an_unknown_column_is_refused_with_the_known_ones() -> None:
    with pytest.raises(DomainError, match="the domain has no column 'phone'"):
        Domain(COLUMNS)["phone"]


def test_a_column_declared_twice_is_refused() -> None:
    with pytest.raises(DomainError, match="twice"):
        domain.parse([{"name": "age", **NUMBERS}] * 2)
