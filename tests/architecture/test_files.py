"""Files are written by `ledger.tlog.atomic_file`: whole or not at all, also after a crash."""

import ast
from collections.abc import Iterator

import pytest

from tests.architecture import packages

WRITE_MODES = {*"wax+"}
ALLOWED = {  # file and function -> why it writes by itself
    "atomic_file.py _new": "it is the one way to write a file",
    "durable_lines.py DurableLines.append": "appends and synchronises; the list only grows",
    "key_encryption_key.py replace": "overwrites a key in place before it is removed",
    "ledger_position.py Epoch.__init__": "shared memory between processes, written in place",
    "budget_records.py Records._append": "appends a line and synchronises; cut lines are skipped",
    "budget_records.py Records._locked": "a lock file: it has no content",
    "checkpoint.py Partial._write": "synthetic may not import ledger; atomic and synchronised too",
    "checkpoint.py locked": "a lock file: it has no content",
    "instance_lock.py InstanceLock.__init__": "a lock file: it has no content",
    "writer_lock.py WriterLock._taken": "a lock file: who is refused reads the holder in it",
}


def writes(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """The function and line of each call that writes or creates a file by itself."""
    for function, node in packages.functions(tree):
        if isinstance(node, ast.Call) and _writes(node):
            yield function, node.lineno


def _writes(call: ast.Call) -> bool:
    name = ast.unparse(call.func).rpartition(".")[2]
    if name in {"write_text", "write_bytes", "copyfile", "copytree", "copy2", "mkstemp"}:
        return True
    if name not in {"open", "fdopen"}:
        return False
    constants = [n.value for n in ast.walk(call) if isinstance(n, ast.Constant)]
    modes = [each for each in constants if isinstance(each, str) and {*each} <= {*"rwaxbt+"}]
    created = any("O_CREAT" in ast.unparse(each) for each in call.args)
    return created or any(WRITE_MODES & {*mode} for mode in modes)


def test_nothing_but_the_durable_writer_writes_files() -> None:
    found = {
        f"{path.rpartition('/')[2]} {function}": f"{path}:{line}"
        for path, tree in packages.modules().items()
        for function, line in writes(tree)
    }
    assert {key: place for key, place in found.items() if key not in ALLOWED} == {}
    assert ALLOWED.keys() - found.keys() == set(), "no longer needed: remove it from the list"


@pytest.mark.parametrize(
    "source",
    [
        "path.write_text('x')",
        "path.write_bytes(b'x')",
        "open('f', 'w')",
        "open('f', mode='ab')",
        "path.open('r+b')",
        "os.open('f', os.O_RDWR | os.O_CREAT, 0o600)",
        "path.open('r+b' if path.exists() else 'w+b')",
    ],
)
def test_a_bare_write_is_found(source: str) -> None:
    assert [*writes(ast.parse(source))]


@pytest.mark.parametrize("source", ["open('f')", "path.open('rb')", "ledger.open(path)"])
def test_reading_is_no_write(source: str) -> None:
    assert not [*writes(ast.parse(source))]
