"""docs/architecture.md leads to the code: its links exist, and its functions are where it says."""

import ast
import re
from pathlib import Path

import pytest

from benchmarks import record
from tests.architecture import picture

DOCUMENT = Path(__file__).parents[2] / "docs" / "architecture.md"
TEXT = DOCUMENT.read_text("utf-8")
LINKS = re.findall(r"\]\(([^)#]+)\)", TEXT)
NAMED = re.findall(
    r"\]\(([^)]+\.py)\)[^`\[\n]{0,4}`([\w.]+)`", TEXT
)  # a module and a function in it
RULES = {  # what a reader looks for: the line of the table, and what the function must contain
    "When a grant ends": "longest",
    "How a leaf is hashed": "sha256",
    "When a privacy budget refuses": "BudgetExceededError",
    "Which filters a read may use": "FilterError",
    "How a name is masked in a notice": "***",
}


def function(path: Path, name: str) -> str:
    """The source of the function with this name, and of the helpers that it calls in its module."""
    text = path.read_text("utf-8")
    defined = {
        node.name: ast.get_source_segment(text, node) or ""
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    source = defined[name.rsplit(".", 1)[-1]]
    called = [defined[each] for each in re.findall(r"\b(_\w+)\(", source) if each in defined]
    return "\n".join([source, *called])


@pytest.mark.parametrize("link", sorted({*LINKS}))
def test_every_link_leads_somewhere(link: str) -> None:
    assert (DOCUMENT.parent / link).exists()


@pytest.mark.parametrize(("path", "name"), sorted({*NAMED}))
def test_every_named_function_is_in_its_module(path: str, name: str) -> None:
    assert function(DOCUMENT.parent / path, name)


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_is_found_in_at_most_three_hops(rule: str) -> None:
    """Document, module, function: the table links the module and names the function."""
    (row,) = [line for line in TEXT.splitlines() if line.startswith(f"| {rule} |")]
    ((path, name),) = re.findall(r"\]\(([^)]+)\) `(\w+)`", row)
    assert RULES[rule] in function(DOCUMENT.parent / path, name)


def test_the_document_is_three_pages() -> None:
    assert 80 < len(TEXT.splitlines()) < 130
    assert len(NAMED) > 15


def test_the_picture_shows_the_layers_as_they_are_declared() -> None:
    """Renewed by `python -m tests.architecture.picture`."""
    assert picture.TARGET.read_text("utf-8") == picture.draw()


README = DOCUMENT.parents[1] / "README.md"


def test_the_readme_links_what_exists_and_holds_no_placeholder() -> None:
    text = README.read_text("utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    assert len(links) > 15
    assert [link for link in links if not (README.parent / link).exists()] == []
    assert re.findall(r"^[A-Z]{5,}$", text.replace("VERIFIED", ""), re.MULTILINE) == []


def test_the_performance_document_is_what_the_benchmarks_printed() -> None:
    """Renewed by `python -m benchmarks.record`."""
    assert record.DOCUMENT.read_text("utf-8") == record.document()
