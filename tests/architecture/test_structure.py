"""The layout of the five packages: folders, names, directions, and one place that builds a gate."""

import ast
import shutil
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("ledger", "gate", "synthetic", "steward", "portal")
MAX_MODULES = 15


def modules(*folders: str) -> Iterator[Path]:
    for folder in folders:
        yield from sorted((ROOT / folder).rglob("*.py"))


def test_no_folder_holds_more_modules_than_one_can_take_in() -> None:
    counts = Counter(
        path.parent.relative_to(ROOT).as_posix()
        for path in modules(*PACKAGES)
        if path.name != "__init__.py" and "migrations" not in path.parts
    )
    assert {folder: n for folder, n in counts.items() if n > MAX_MODULES} == {}


def test_every_folder_says_what_is_in_it() -> None:
    tours = [path for path in modules(*PACKAGES) if path.name == "__init__.py"]
    silent = [p for p in tours if ast.get_docstring(ast.parse(p.read_text("utf-8"))) is None]
    assert [p.relative_to(ROOT).as_posix() for p in silent] == []


def test_no_two_public_classes_share_a_name() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for path in modules(*PACKAGES):
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(path.relative_to(ROOT).as_posix())
    assert len(places) > 500
    assert {name: where for name, where in places.items() if len(where) > 1} == {}


def test_one_place_builds_a_gate() -> None:
    built = [
        path.relative_to(ROOT).as_posix()
        for path in modules(*PACKAGES, "tests", "benchmarks", "specs")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "Gate"
    ]
    assert built == ["gate/factory.py"]


FORBIDDEN = {  # an import that breaks one contract: the file it is added to, and what is said
    "ledger/tlog/merkle.py": ("import fastapi", "Pure modules know no web"),
    "ledger/verify/receipt.py": ("import yaml", "The offline verifier needs"),
    "ledger/storage/interface.py": ("import ledger.service", "Inside ledger"),
    "gate/contracts/sla.py": ("import gate.reads.point", "Inside gate"),
    "synthetic/privacy/budget.py": ("import synthetic.fitting.fit", "Inside synthetic"),
    "steward/cases/case.py": ("import steward.change_flow", "Inside steward"),
    "portal/auth/session.py": ("import portal.app", "Inside portal"),
    "gate/decision/quota.py": ("import portal.app", "Packages point one way"),
}


@pytest.fixture(scope="module")
def verdict(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the import linter says of a copy in which every contract is broken once."""
    copy = tmp_path_factory.mktemp("copy")
    for package in PACKAGES:
        shutil.copytree(
            ROOT / package, copy / package, ignore=lambda _, names: [n for n in names if _other(n)]
        )
    shutil.copy(ROOT / "pyproject.toml", copy)
    for name, (statement, _) in FORBIDDEN.items():
        with (copy / name).open("a", encoding="utf-8") as file:
            file.write(f"\n{statement}\n")
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    done = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout


def _other(name: str) -> bool:
    return "." in name and not name.endswith(".py")


@pytest.mark.parametrize("name", FORBIDDEN)
def test_a_forbidden_import_is_refused(name: str, verdict: str) -> None:
    _, contract = FORBIDDEN[name]
    assert [line for line in verdict.splitlines() if contract in line and "BROKEN" in line]
