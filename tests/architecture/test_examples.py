"""R13: the reference CRM is a client of the product, and imports nothing else of it."""

import ast
from pathlib import Path

import pytest

CRM = Path(__file__).parents[2] / "examples" / "crm"
PRODUCT = {"ledger", "gate", "synthetic", "steward", "portal"}


def imported(tree: ast.Module) -> set[str]:
    """The top-level packages that a module imports, or loads by a name in a text."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {each.name.partition(".")[0] for each in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").partition(".")[0])
        elif isinstance(node, ast.Call) and "import_module" in ast.unparse(node.func):
            found |= {
                str(a.value).partition(".")[0] for a in node.args if isinstance(a, ast.Constant)
            }
    return found


def test_r13_the_crm_imports_nothing_of_the_product_but_its_public_client() -> None:
    modules = {
        str(path): imported(ast.parse(path.read_text("utf-8"))) for path in CRM.rglob("*.py")
    }
    assert any("sovereign_client" in each for each in modules.values())
    assert {name: each & PRODUCT for name, each in modules.items() if each & PRODUCT} == {}


@pytest.mark.parametrize(
    "source",
    [
        "import gate",
        "from portal.app import x",
        "import importlib\nimportlib.import_module('ledger.x')",
    ],
)
def test_an_import_of_the_product_is_found(source: str) -> None:
    assert imported(ast.parse(source)) & PRODUCT
