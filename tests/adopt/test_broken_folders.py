"""Clauses C2, C6 and C14 of specs/company.md at size: no folder that means something else.

The mutants are made of the two examples: tests/adopt/broken_folders.py. Of each kind some are tried
in `make test`, and all that there are in `make prove`.
"""

import re
from collections import defaultdict
from pathlib import Path
from shutil import copytree

import pytest
from typer.testing import CliRunner

from gate.contracts import company
from portal.commands import app
from tests.adopt.broken_folders import KINDS, Broken, every, refusals
from tests.bank import BANK
from tests.campaign import sized

CURE = re.compile(r"\b(want|remove|put it in quotes|change one of them|name scenes that)\b")
YAML = r"(?:cannot be read as YAML: )?"
REMOVABLE = [name for name, kind in KINDS.items() if kind.checks]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The two examples, without the address of the telecom company's rows."""
    made = tmp_path_factory.mktemp("broken")
    found = [copytree(BANK, made / "bank"), copytree(BANK.parent / "telco", made / "telco")]
    for each in found:
        toml = each / "company.toml"
        text = toml.read_text("utf-8")
        toml.write_text(re.sub(r"^source = .*\n", "", text, flags=re.MULTILINE), "utf-8")
        assert [*company.faults(each)] == []
    return found


def chosen(folder: Path, each: int) -> list[Broken]:
    """At most so many mutants of each kind, spread over all places where the kind fits."""
    by_kind: dict[str, list[Broken]] = defaultdict(list)
    for one in every(folder):
        by_kind[one.kind].append(one)
    return [one for ones in by_kind.values() for one in ones[:: -(-len(ones) // each)]]


@pytest.mark.campaign
def test_a_folder_that_means_something_else_is_refused_with_file_line_and_cure(
    folders: list[Path],
) -> None:
    accepted, unplaced, uncured = list[str](), list[str](), list[str]()
    tried, kinds = 0, set[str]()
    for folder in folders:
        for each in chosen(folder, sized(4, 10_000)):
            tried, kinds = tried + 1, kinds | {each.kind}
            printed = refusals(each, folder)
            text = "\n".join(printed)
            if not printed:
                accepted.append(str(each))
            elif not re.search(rf"{re.escape(str(folder))}/\S+: {YAML}line \d+: ", text):
                unplaced.append(f"{each}: {text}")
            elif not CURE.search(text):
                uncured.append(f"{each}: {text}")
    assert (accepted, unplaced, uncured) == ([], [], [])
    assert tried >= sized(200, 3000)
    assert kinds == {*KINDS}


@pytest.mark.parametrize("kind", REMOVABLE)
def test_without_the_check_of_a_kind_its_mutants_are_accepted(
    kind: str, folders: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So the test above would fail if the check were lost."""
    mutants = [(one, at) for at in folders for one in chosen(at, 3) if one.kind == kind]
    assert all(refusals(*each) for each in mutants)
    for check in KINDS[kind].checks:
        monkeypatch.setattr(check.module, check.name, check.instead)
    assert any(not refusals(*each) for each in mutants)


def test_the_command_prints_them_without_a_traceback(folders: list[Path]) -> None:
    """One of each file; the mutants above go through what the command calls."""
    folder = folders[0]
    by_file = {one.path.name: one for one in every(folder)}
    for each in [*by_file.values()][::4]:
        text = each.path.read_text("utf-8")
        each.path.write_text(each.text, "utf-8")
        done = CliRunner().invoke(app, ["check", str(folder)])
        each.path.write_text(text, "utf-8")
        assert (done.exit_code, "Traceback" in done.output) == (1, False), done.output
        assert each.path.name in done.output
