"""Nothing of any company is in the packages: what they know of one comes from its folder.

The names of the two examples – scenes, services, items, systems, tables, and words of their trades
– are looked for in the strings of the code, in templates, scripts and catalogues. `portal/demo`
plays the demonstration and is left out. Names that are plain words are listed.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from gate.contracts import company

PACKAGES = ("ledger", "gate", "synthetic", "steward", "portal")
EXAMPLES = (Path("examples/bank"), Path("examples/telco"))
TRADES = re.compile(
    r"\b(banks?|banking|telecoms?|telco|subscribers?|deposits?|loans?|branches|broadband)\b|银行|网点"
    r"|电信|宽带|存款|贷款",
    re.IGNORECASE,
)
TEXTS = ("*.html", "*.po", "*.js", "*.css", "*.toml", "*.cedar", "*.md")
DEMONSTRATION = Path("portal/demo")
# Words of English, of DPV or of the product, which an example has as a name, too.
PLAIN = frozenset(
    {"age", "balance", "billing", "care", "contact", "contract", "customer", "day", "default"}
    | {"duration", "email", "gender", "job", "location", "month", "name", "partner", "phone"}
    | {"postcode", "previous", "y"}
    | {"analytics", "customer-care"}  # services that `init` proposes to every company
    | {"authorisation_stability"}  # an item that the product computes, for any company that has it
)
SAID = {  # files that may speak of a trade: why
    "portal/operations/settings.py": "settings have examples of values: bank.example",
    "portal/operations/company_folder.py": "the demonstration's folder is examples/bank",
}


@cache
def names() -> frozenset[str]:
    """Every name that the examples give to something, of two words or of a word of their trade."""
    found: set[str] = set()
    for folder in EXAMPLES:
        read = company.load(folder)
        found |= {*read.scenes, *read.source.items, *read.source.systems, read.source.table}
        found |= {table.name for table in read.source.related}
        found |= {each.id for scene in read.scenes.values() for each in scene.services}
        found |= {trigger.signal for scene in read.scenes.values() for trigger in scene.triggers}
    return frozenset(found)


def strings(path: Path) -> Iterator[tuple[int, str]]:
    """The string constants of a module with their lines, without docstrings."""
    tree = ast.parse(path.read_text("utf-8"))
    told = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in told:
            yield node.lineno, node.value


def texts() -> Iterator[tuple[str, str]]:
    """Where something stands, and it."""
    for package in PACKAGES:
        for path in sorted(Path(package).rglob("*.py")):
            if DEMONSTRATION not in path.parents:
                yield from ((f"{path}:{line}", text) for line, text in strings(path))
        for pattern in TEXTS:
            for path in sorted(Path(package).rglob(pattern)):
                if DEMONSTRATION in path.parents:
                    continue
                lines = path.read_text("utf-8").splitlines()
                yield from ((f"{path}:{n}", line) for n, line in enumerate(lines, 1))


def test_no_name_of_an_example_is_in_the_packages() -> None:
    looked_for = sorted(names() - PLAIN)
    assert len(looked_for) > 60
    pattern = re.compile(rf"(?<![\w-])({'|'.join(map(re.escape, looked_for))})(?![\w-])")
    assert [
        f"{place}: {found[1]}" for place, text in texts() if (found := pattern.search(text))
    ] == []


def test_no_word_of_a_trade_is_in_the_packages() -> None:
    said = {
        place: found[0]
        for place, text in texts()
        if (found := TRADES.search(re.sub(r"[\w.@/-]+\.example\b", "", text)))
    }
    assert {place for place in said if place.partition(":")[0] not in SAID} == set()


def test_what_is_plain_is_a_name_of_an_example() -> None:
    """The list has nothing that it need not have."""
    assert names() >= PLAIN


FOUND = {
    "a scene": ("'segmentation'", True),
    "an item in a template's text": ("{{ row.device_id }}", True),
    "part of another word": ("segmentations", False),
    "part of a name with a hyphen": ("ai-training-set", False),
}


@pytest.mark.parametrize("why", FOUND)
def test_a_name_is_found_as_a_word(why: str) -> None:
    text, is_found = FOUND[why]
    hits = [each for each in names() if re.search(rf"(?<![\w-]){re.escape(each)}(?![\w-])", text)]
    assert bool(hits) is is_found
