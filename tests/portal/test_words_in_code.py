"""Clause 5.2 of specs/portal.md: no table of words, and no shown word, in code."""

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from steward.language import catalogue

ROOT = Path(__file__).parents[2]
PACKAGES = ("gate", "ledger", "portal", "steward", "synthetic")
CODE = sorted(path for each in PACKAGES for path in (ROOT / each).rglob("*.py"))
SCRIPTS = sorted((ROOT / "portal" / "web" / "static").glob("*.js"))
TEMPLATES = sorted((ROOT / "portal").rglob("*.html"))
TAGS = {*catalogue.shipped(catalogue.FOLDER), "zh", "zh_CN", "fr", "es", "ja"} - {"en"}
HAN = re.compile(r"[\u3400-\u9fff]")
# What is no word to a reader, by file: the mark of a text that waits for a translation, words that
# imports recognise in other programs' files, and parts of names that are masked in free text.
RECOGNISED = {
    "gate/reads/masks/addresses.py",
    "gate/reads/masks/own_values.py",
    "portal/adoption/labels.py",
    "portal/imports/kantara.py",
}
SHOWN = r"(?:textContent|innerText|innerHTML|title|placeholder|ariaLabel)"
LITERAL = r"(?:\"[^\"]*[A-Za-z]{2}[^\"]*\"|'[^']*[A-Za-z]{2}[^']*'|`[^`$]*[A-Za-z]{2}[^`]*`)"
SAID_BY_SCRIPT = re.compile(rf"\.{SHOWN} \+?= {LITERAL}|\b(?:alert|confirm|prompt)\({LITERAL}")
EXPRESSION = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
STRING = re.compile(r"\"([^\"]*)\"|'([^']*)'")
SENTENCE = re.compile(r"[A-Za-z]{2,} [A-Za-z]{2,}")


def tables(tree: ast.Module) -> Iterator[int]:
    """Lines with a mapping by language, or a comparison with one."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            keys = {each.value for each in node.keys if isinstance(each, ast.Constant)}
            if keys & TAGS:
                yield node.lineno
        elif isinstance(node, ast.Compare):
            parts = [node.left, *node.comparators]
            if any(isinstance(each, ast.Constant) and each.value in TAGS for each in parts):
                yield node.lineno


def chinese(tree: ast.Module) -> Iterator[int]:
    """Lines with Chinese text that is no documentation."""
    documentation = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and id(node) not in documentation:
            text = node.value if isinstance(node.value, str) else ""
            yield from [node.lineno] * bool(HAN.search(text))


def said_by_template(text: str) -> list[str]:
    """Sentences among the expressions of a template."""
    strings = (either for code in EXPRESSION.findall(text) for either in STRING.findall(code))
    return [each for either in strings for each in either if SENTENCE.search(each)]


@pytest.mark.parametrize("find", [tables, chinese])
def test_no_module_has_a_table_of_words(find: Callable[[ast.Module], Iterator[int]]) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in CODE
        if str(path.relative_to(ROOT)) not in RECOGNISED
        for line in find(ast.parse(path.read_text("utf-8")))
    ]
    assert found == []


def test_no_script_shows_a_word_of_its_own() -> None:
    found = {
        path.name: match[0]
        for path in SCRIPTS
        if path.name != "htmx.min.js"
        for match in SAID_BY_SCRIPT.finditer(path.read_text("utf-8"))
    }
    assert found == {}


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_no_template_writes_a_sentence_in_an_expression(path: Path) -> None:
    assert said_by_template(path.read_text("utf-8")) == []


BAD_CODE = {
    "a table": 'WORDS = {"en": "yes", "zh-CN": "yes"}',
    "a condition": 'word = "ja" if locale == "de" else "yes"',
    "a Chinese text": 'WORD = "是"',
}


@pytest.mark.parametrize("why", BAD_CODE)
def test_such_words_would_be_found(why: str) -> None:
    tree = ast.parse(BAD_CODE[why])
    assert [*tables(tree), *chinese(tree)]


@pytest.mark.parametrize(
    "line",
    ['part.textContent = "Not verified";', "alert('Try again')", "b.title = `Sent to ${who} now`;"],
)
def test_such_a_script_would_be_found(line: str) -> None:
    assert SAID_BY_SCRIPT.search(line)


def test_such_a_template_would_be_found() -> None:
    assert said_by_template('<p>{{ "Please sign in" if session else say("a.b") }}</p>')
