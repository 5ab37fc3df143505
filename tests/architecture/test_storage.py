"""SQL stands in the storage folders and in those of the sources; one module opens databases."""

import ast
import re
from collections.abc import Iterator
from pathlib import PurePosixPath

import pytest

from tests.architecture import packages

STATEMENT = re.compile(
    r"\s*(SELECT\s|INSERT\s|UPDATE\s+\S+\s+SET\s|DELETE\s+FROM\s|WITH\s+\S+\s+AS\s|"
    r"(CREATE|DROP|ALTER)\s+(UNIQUE\s+)?(TABLE|INDEX|VIEW|SCHEMA|TRIGGER)\s|"
    r"(BEGIN|COMMIT|ROLLBACK)\b|PRAGMA\s|COPY\s|VACUUM\b|ATTACH\s)"
)
FOLDERS = {"storage", "sources"}
OPENING = {"create_engine", "sqlite3.connect", "psycopg.connect", "ConnectionPool"}
# Besides the one module: a read-only connection beside the writer, and the writer's own connection
# with its lease.
OPENERS = {
    "ledger/storage/database.py",
    "ledger/storage/snapshot.py",
    "ledger/storage/lease.py",
    "ledger/storage/postgres.py",
}
# The company's rows are counted where they lie, and a demonstration has to make some (D12).
COUNTING = {"synthetic/model/counts.py"}


def statements(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """The SQL statements among the string constants of a module, with their lines."""
    documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or id(node) in documentation:
            continue
        if isinstance(node.value, str) and STATEMENT.match(node.value):
            yield node.lineno, node.value.strip().splitlines()[0]


def opened(tree: ast.Module) -> Iterator[int]:
    """The lines of a module that open a database."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in OPENING:
            yield node.lineno


def outside(places: set[str]) -> Iterator[tuple[str, ast.Module]]:
    for path, tree in packages.modules().items():
        if path not in places and not FOLDERS & {*PurePosixPath(path).parts}:
            yield path, tree


def test_sql_stands_in_storage_and_sources_alone() -> None:
    found = [
        f"{path}:{line} {text}"
        for path, tree in outside(COUNTING)
        for line, text in statements(tree)
    ]
    assert found == []


def test_one_module_opens_databases() -> None:
    in_storage = {
        path: tree for path, tree in packages.modules().items() if "/sources/" not in path
    }
    found = [
        f"{path}:{line}"
        for path, tree in in_storage.items()
        if path not in OPENERS
        for line in opened(tree)
    ]
    assert found == []


@pytest.mark.parametrize(
    "text", ["SELECT a FROM b", "\n  INSERT INTO a VALUES (1)", "UPDATE a SET b = 1", "BEGIN"]
)
def test_a_statement_is_found(text: str) -> None:
    tree = ast.parse(f'"""SELECT in a docstring."""\nQUERY = {text!r}\n')
    assert [line for line, _ in statements(tree)] == [2]


@pytest.mark.parametrize("call", ["sqlite3.connect(path)", "create_engine(url)"])
def test_an_opening_is_found(call: str) -> None:
    assert [*opened(ast.parse(call))] == [1]
