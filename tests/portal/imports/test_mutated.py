"""Clauses I8 and I20 to I39 of specs/portability.md over files that were changed in a place or two.

pytest -s --prove tests/portal/imports/test_mutated.py         every change, and 3,000 pairs
"""

import re
import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest

from ledger.events.reducer import SceneConsent
from ledger.service import Ledger
from tests.campaign import sized
from tests.portal.imports import stated
from tests.portal.imports.mutated import FOUR, ONE, OPEN, SHEETS, THREE, TWO, File, pairs, singles
from tests.portal.imports.runs import SCENES, run
from tests.portal.imports.stated import Permission, Permissions, Reading, Statement

CUSTOMERS = [f"c{number:05d}" for number in range(1, 61)]
ITEMS = {name: [*SCENES[name].fields] for name in OPEN}
BEFORE = "subject,scene,at,fields\n" + "".join(
    f"{customer},{scene},2025-06-01T09:00:01Z,{items}\n"
    for customer in (ONE, TWO, THREE, FOUR)
    for scene, items in ((OPEN[0], "name;email;phone"), (OPEN[1], "age"))
)
ERROR = re.compile(r"consents: (line [0-9]+: )?(want .+, found .+: .+|.+want .+)")


@dataclass(slots=True)
class Outcome:
    files: int = 0
    imported: int = 0
    refused: int = 0
    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.files} files, {self.imported} imported, {self.refused} refused, "
            f"{len(self.faults)} faults"
        )


@dataclass(slots=True)
class Bench:
    """A data directory with earlier permissions, made again after each import."""

    prepared: Path
    home: Path

    def fresh(self) -> None:
        shutil.rmtree(self.home, ignore_errors=True)
        shutil.copytree(self.prepared, self.home)


@pytest.fixture(scope="module")
def bench(seeded: Path, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    folder = tmp_path_factory.mktemp("mutated")
    shutil.copytree(seeded, folder / "prepared")
    assert run(folder / "prepared", BEFORE).exit_code == 0
    made = Bench(folder / "prepared", folder / "home")
    made.fresh()
    return made


def permissions(home: Path) -> tuple[int, Permissions]:
    """The size of the log, and what the customers allow."""
    found: dict[tuple[str, str], Permission] = {}
    with closing(Ledger.reopen(home)) as ledger:
        for customer in ledger.subjects():
            state = ledger.state(customer)
            for scene, each in state.scenes.items() if state else ():
                if isinstance(each, SceneConsent):
                    until = None if each.until is None else _seconds(each.until)
                    found[customer, scene] = Permission(each.fields, _seconds(each.at), until)
        return ledger.size, found


def _seconds(at: datetime) -> int:
    return int((at - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds())


def reading(file: File) -> Reading:
    return stated.read(file.data, file.dialect, CUSTOMERS, ITEMS)


def judged(bench: Bench, file: File, outcome: Outcome, *, skip_bad: bool = False) -> None:
    """Import the file and add what is wrong with the outcome."""
    size, before = permissions(bench.home)
    options = ["--skip-bad"] if skip_bad else []
    options += ["--format", "kantara"] if file.dialect.receipts else []
    done = run(bench.home, file.data, *options, mapping=file.dialect.mapping)
    now, left = permissions(bench.home)
    outcome.files += 1
    outcome.imported += done.exit_code == 0
    outcome.refused += done.exit_code == 1
    read = reading(file)
    if done.exit_code == 0:
        passed = _lines(done.output, "skipped")
        wrong = _skipped(read, passed, before, left) if skip_bad else _imported(read, before, left)
    elif (now, left) != (size, before) or done.exit_code != 1:
        wrong = iter(["a refusal recorded something, or has another status"])
    else:
        wrong = _refused(file, read, done.output)
    outcome.faults += [f"{file.why}: {each}\n    {done.output.strip()[:300]}" for each in wrong]
    if now != size:
        bench.fresh()


def _imported(read: Reading, before: Permissions, left: Permissions) -> Iterator[str]:
    if read.unclear:
        yield f"imported, though the lines {read.unclear[:5]} are not understood"
    yield from _differences(stated.after(before, read.statements), left)


def _differences(right: Permissions, left: Permissions) -> Iterator[str]:
    for key in right.keys() | left.keys():
        if not _is(found := left.get(key), want := right.get(key)):
            yield f"{key} is {found}, want {want}"


def _is(found: Permission | None, want: Permission | None) -> bool:
    """Whether they are the same; it may end within the minute before."""
    if found is None or want is None:
        return found is want
    if (found.items, found.at) != (want.items, want.at):
        return False
    if found.until is None or want.until is None:
        return found.until is want.until
    return want.until - 60 < found.until <= want.until


def _skipped(
    read: Reading, passed: set[int], before: Permissions, left: Permissions
) -> Iterator[str]:
    """After an import with --skip-bad: nothing beyond what the rows that are understood state.

    `passed`: the lines that the command names as skipped.
    """
    rows = [each for each in read.statements if each.granted or each.line not in passed]
    right = stated.after(before, rows)
    for key, found in left.items():
        want = right.get(key)
        allowed = [each for each in (want, before.get(key)) if each is not None]
        if want is None or not any(
            found.items <= each.items and found.at <= each.at for each in allowed
        ):
            yield f"{key} is {found} with --skip-bad, want at most {want}"


def _refused(file: File, read: Reading, output: str) -> Iterator[str]:
    if file.same:
        yield "refused, though it states what the good file states"
    lines = [each for each in output.splitlines() if each.startswith("consents: ")]
    errors = [ERROR.match(each) for each in lines]
    if not lines or not all(errors) or "Traceback" in output:
        yield "the refusal does not say what was wanted, what was found and what to do"
    named = _lines(output, "consents")
    if read.unclear and None not in read.unclear and not named & {*read.unclear}:
        yield f"the refusal names the lines {sorted(named)}, want one of {read.unclear[:5]}"


def _lines(output: str, before: str) -> set[int]:
    return {int(each) for each in re.findall(rf"(?m)^{before}: line ([0-9]+):", output)}


SAMPLE, PAIRS = sized(40, 0), sized(8, 3_000)


@pytest.mark.campaign
def test_no_change_to_a_file_makes_it_allow_more_than_it_states(bench: Bench) -> None:
    every, random, outcome = singles(), Random(5), Outcome()
    for file in random.sample(every, SAMPLE) if SAMPLE else every:
        judged(bench, file, outcome)
    for file in pairs(PAIRS, random):
        judged(bench, file, outcome)
    print(f"\n{len(every)} single changes known; {outcome}")  # noqa: T201 - the figure
    assert outcome.faults == [], "\n".join(outcome.faults)
    assert outcome.refused > outcome.files / 2
    assert outcome.imported > outcome.files / 50, "some change leaves a file good"


@pytest.mark.campaign
def test_nor_does_it_with_bad_rows_skipped(bench: Bench) -> None:
    every, random, outcome = singles(), Random(6), Outcome()
    for file in random.sample(every, SAMPLE // 5) if SAMPLE else every:
        judged(bench, file, outcome, skip_bad=True)
    print(f"\n{outcome} with --skip-bad")  # noqa: T201 - the figure
    assert outcome.faults == [], "\n".join(outcome.faults)


SAME = {each.why: each for each in singles() if each.same}
GOOD = {name: File(name, sheet.text().encode(), sheet.dialect) for name, sheet in SHEETS.items()}


def imported(bench: Bench, file: File) -> str:
    form = ["--format", "kantara"] if file.dialect.receipts else []
    done = run(bench.home, file.data, *form, mapping=file.dialect.mapping)
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.parametrize("why", SAME)
def test_i5_the_same_content_is_recorded_once_however_it_is_packed(why: str, bench: Bench) -> None:
    name = why.partition(":")[0]
    first = GOOD.get(name) or next(e for e in SAME.values() if e.why.startswith(f"{name}:"))
    try:
        imported(bench, first)
        recorded = permissions(bench.home)
        assert "imported before" in imported(bench, SAME[why])
        assert permissions(bench.home) == recorded
    finally:
        bench.fresh()


GIVEN = Statement(2, ONE, OPEN[0], True, frozenset({"name"}), 10**18, 10**18 + 1, 2 * 10**9)
ENDED = Statement(3, ONE, OPEN[0], False, None, 2 * 10**18, 2 * 10**18 + 1)
ALLOWED = {(ONE, OPEN[0]): Permission(frozenset({"name"}), 10**9, 2 * 10**9)}
WRONG: dict[str, Permissions] = {
    "an item more": {(ONE, OPEN[0]): Permission(frozenset({"name", "age"}), 10**9, 2 * 10**9)},
    "a later begin": {(ONE, OPEN[0]): Permission(frozenset({"name"}), 10**9 + 1, 2 * 10**9)},
    "a later end": {(ONE, OPEN[0]): Permission(frozenset({"name"}), 10**9, 2 * 10**9 + 60)},
    "no end": {(ONE, OPEN[0]): Permission(frozenset({"name"}), 10**9, None)},
    "another customer": ALLOWED | {(TWO, OPEN[0]): ALLOWED[ONE, OPEN[0]]},
    "a permission less": {},
}


@pytest.mark.parametrize("why", WRONG)
def test_the_judge_finds_what_a_file_does_not_state(why: str) -> None:
    assert [*_imported(Reading([GIVEN]), {}, WRONG[why])]
    assert not [*_imported(Reading([GIVEN]), {}, ALLOWED)]


def test_the_judge_finds_a_withdrawal_that_is_lost() -> None:
    assert [*_imported(Reading([GIVEN, ENDED]), {}, ALLOWED)]
    assert not [*_imported(Reading([ENDED, GIVEN]), {}, {})]
    assert [*_imported(Reading(unclear=[3]), ALLOWED, ALLOWED)], "a row that is not understood"
