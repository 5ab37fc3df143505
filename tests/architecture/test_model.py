"""The model of specs/model shares nothing with the product: it could not disagree (G145)."""

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.architecture.packages import PACKAGES, ROOT

MODEL = ROOT / "specs" / "model"
OURS = {*PACKAGES, "tests", "benchmarks"}


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: want the whole name of a module"
            yield str(node.module)
            yield from (f"{node.module}.{each.name}" for each in node.names)


def closure(paths: list[Path]) -> dict[Path, set[str]]:
    """The files, and those of specs/ that they import, with the names each imports."""
    found: dict[Path, set[str]] = {}
    while paths:
        if (path := paths.pop()) in found:
            continue
        found[path] = {*imported(path)}
        files = (ROOT / f"{name.replace('.', '/')}.py" for name in found[path])
        paths += [each for each in files if each.is_relative_to(ROOT / "specs") and each.exists()]
    return found


def test_g145_the_model_imports_nothing_of_the_product() -> None:
    files = closure([*MODEL.glob("*.py")])
    assert len(files) > 8
    wrong = {
        str(path.relative_to(ROOT)): sorted(each for each in names if each.split(".")[0] in OURS)
        for path, names in files.items()
    }
    assert {path: names for path, names in wrong.items() if names} == {}
