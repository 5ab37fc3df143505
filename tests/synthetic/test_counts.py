from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import ibis
import numpy as np
import pyarrow as pa
import pytest

from synthetic.model import counts
from synthetic.model.domain import Categories, Dates, Domain, DomainError, Numbers
from tests.synthetic.material import BANK, WORKLOAD, bank, table

SMALL = Domain(
    {
        "answer": Categories(("no", "yes"), "no"),
        "mood": Categories(("low", "high"), "low", nullable=True),
        "age": Numbers(18, 96, (25, 40)),
        "since": Dates(date(2024, 1, 1), date(2025, 12, 31), (date(2025, 1, 1),)),
    }
)
ROWS: dict[str, list[Any]] = {
    "answer": ["yes", "no", "perhaps", None],
    "mood": ["high", None, "odd", "low"],
    "age": [17, 25, 120, None],
    "since": [date(2024, 5, 1), date(2025, 1, 1), None, date(2030, 1, 1)],
}
SCHEMA = {"answer": "string", "mood": "string", "age": "int32", "since": "date32"}


def test_a_value_is_counted_under_its_declared_code() -> None:
    found = counts.count(table(ROWS, SCHEMA), SMALL, [("answer",), ("mood",), ("age",), ("since",)])
    assert found[("answer",)].tolist() == [3, 1]  # undeclared and missing values are `other`
    assert found[("mood",)].tolist() == [2, 1, 1]  # the last code is the missing value
    assert found[("age",)].tolist() == [2, 1, 1]  # outside the bounds: the nearest bin
    assert found[("since",)].tolist() == [2, 2]


def test_values_outside_the_domain_are_reported_column_by_column() -> None:
    unknown = counts.unknown(table(ROWS, SCHEMA), SMALL)
    assert unknown == {"answer": 2, "mood": 1, "age": 3, "since": 2}


def test_marginals_of_real_customers_agree_with_one_another() -> None:
    cliques = [*WORKLOAD, ("age",), ("job",), ("y",)]
    found = counts.count(bank(), BANK, cliques)
    assert all(found[clique].shape == BANK.shape(clique) for clique in cliques)
    assert {int(each.sum()) for each in found.values()} == {45_211}
    assert np.array_equal(found["age", "job"].sum(axis=0), found[("job",)])
    assert np.array_equal(found["job", "y"].sum(axis=1), found[("job",)])


def test_real_customers_are_inside_the_declared_domain() -> None:
    assert sum(counts.unknown(bank(), BANK).values()) == 0


def test_a_missing_column_is_named() -> None:
    with pytest.raises(DomainError, match=r"no columns \['phone'\]"):
        counts.count(bank(), Domain({"phone": SMALL["answer"]}), [("phone",)])


def test_a_boolean_column_needs_true_and_false_in_its_domain() -> None:
    rows = table({"answer": [True, False, True]}, {"answer": "bool"})
    with pytest.raises(DomainError, match="is boolean, but its domain declares neither"):
        counts.count(rows, Domain({"answer": SMALL["answer"]}), [("answer",)])
    honest = Domain({"answer": Categories(("false", "true"), "false")})
    assert counts.count(rows, honest, [("answer",)])[("answer",)].tolist() == [1, 2]


@pytest.mark.parametrize("value", [None, "yes"])
def test_a_column_of_one_declared_value_has_one_cell(value: str | None) -> None:
    only = Domain({"answer": Categories(("yes",), "yes"), "age": Numbers(0, 9, ())})
    rows = table({"answer": [value] * 3, "age": [5] * 3}, {"answer": "string", "age": "int32"})
    assert counts.count(rows, only, [("answer", "age")])["answer", "age"].tolist() == [[3]]


def test_marginals_counted_together_equal_those_counted_alone() -> None:
    rows = bank()
    cliques = [*WORKLOAD, ("age",), ("age", "job", "y"), ("balance", "month")]
    together = counts.count(rows, BANK, cliques)
    alone = {clique: counts.count(rows, BANK, [clique])[clique] for clique in cliques}
    assert all(np.array_equal(together[clique], alone[clique]) for clique in cliques)
    assert len(counts.covering(BANK, cliques)) < len(cliques)


def test_what_is_counted_is_inside_nothing_else_that_is() -> None:
    cliques = [*WORKLOAD, *((name,) for name in BANK.columns), ("age", "job", "y")]
    covers = counts.covering(BANK, cliques)
    assert {*covers} <= {*cliques}
    for clique in cliques:
        larger = [cover for cover in covers if {*clique} < {*cover}]
        assert (clique in covers) == (not larger)


def test_rows_chosen_by_an_in_memory_table_are_counted(tmp_path: Path) -> None:
    """As the gate chooses them: a table of a database, joined with the customers who consent."""
    with duckdb.connect(tmp_path / "people.duckdb") as connection:
        connection.execute(
            "CREATE TABLE people AS SELECT * FROM (VALUES ('c1', 'a'), ('c2', 'b'), "
            "('c3', 'a')) AS people(id, job)"
        )
    backend = ibis.duckdb.connect(tmp_path / "people.duckdb", read_only=True)
    wanted = ibis.memtable(pa.table({"id": ["c1", "c3"]}))
    chosen = backend.table("people").semi_join(wanted, "id").select("job")
    domain = Domain({"job": Categories(("a", "b"), "b")})
    assert counts.count(chosen, domain, [("job",)])["job",].tolist() == [2, 0]
