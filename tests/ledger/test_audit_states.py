"""specs/audit.md, A10: a state log is audited against its consent log."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from shutil import copytree, rmtree

import pytest
from typer.testing import CliRunner

from ledger.service import Ledger
from ledger.statemap import map_proof
from ledger.statemap.map_auditor import Consent, audit_states
from ledger.statemap.map_proof import StateRoot
from ledger.tlog import signed_note
from ledger.tlog.auditor import AuditReport, FindingKind, KeyDemand
from ledger.tlog.fetcher import DirectorySource
from ledger.tlog.writer import Log
from portal.commands.log.audit import app
from tests.ledger.recorded import GRANTED, WORDING
from tests.ledger.witnessing import NOON, ORIGIN

STATES = signed_note.generate(f"{ORIGIN}/state")
COMMITS, TOGETHER = 30, 20  # 600 entries: two full bundles and a partial one


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger's home with both logs published; not to be changed."""
    home = tmp_path_factory.mktemp("home")
    ledger = Ledger.open(home, origin=ORIGIN)
    for commit in range(COMMITS):
        names = [f"c-{commit}-{number}" for number in range(TOGETHER)]
        said = [ledger.draft(name, GRANTED, at=NOON, wording=WORDING) for name in names]
        ledger.record(said)
        if commit == COMMITS // 2:
            copytree(home, home / "half", ignore=lambda _, found: {"half"} & {*found})
    for folder in (home, home / "half"):
        made = ledger if folder == home else Ledger.open(folder, origin=ORIGIN)
        made.states.export(folder / "log/state")
        made.export(folder / "log/consent")
        made.close()
    return home


def consent(home: Path) -> Consent:
    """The consent log of a home, under its keys."""
    line = (home / "keys/consent.vkey").read_text().split()[0]
    return Consent(DirectorySource(home / "log/consent"), KeyDemand([signed_note.verifier(line)]))


def entries(home: Path) -> list[StateRoot]:
    """The honest entries of the home's state log."""
    store = Ledger.open(home, origin=ORIGIN)
    found = [map_proof.newest([each]) for each in store.states.log.entries(0, COMMITS)]
    store.close()
    return found


def shown(folder: Path, entries: list[StateRoot]) -> DirectorySource:
    """A state log of these entries, signed and published."""
    log = Log.open(folder / "log.sqlite", STATES.name, STATES)
    for each in entries:
        log.append([bytes(each)])
    log.export(folder / "state")
    log.close()
    return DirectorySource(folder / "state")


def audited(states: DirectorySource, home: Path, seen: str | None = None) -> AuditReport:
    return audit_states(states, KeyDemand([STATES.verifier]), consent(home), seen)


def arguments(home: Path, *more: str) -> list[str]:
    logs = [str(home / "log/state"), str(home / "log/consent")]
    policies = ["--policy", home / "state.policy", "--consent-policy", home / "consent.policy"]
    return ["audit-states", *logs, *map(str, policies), *more]


def test_a10_what_a_ledger_publishes_is_clean_and_goes_on_where_the_last_audit_ended(
    published: Path, tmp_path: Path
) -> None:
    remembered = ["--state", str(tmp_path / "seen")]
    first = CliRunner().invoke(app, arguments(published / "half", *remembered))
    assert (first.exit_code, f"{COMMITS // 2 + 1} entries" in first.stdout) == (0, True)
    second = CliRunner().invoke(app, arguments(published, *remembered))
    assert second.exit_code == 0, second.stdout
    assert f"read      {COMMITS - COMMITS // 2 - 1} entries" in second.stdout
    third = CliRunner().invoke(app, arguments(published, *remembered))
    assert (third.exit_code, "read      0 entries" in third.stdout) == (0, True)


Wrong = Callable[[list[StateRoot]], list[StateRoot]]
WRONG: dict[str, tuple[Wrong, str]] = {
    "another root of the consent log": (
        lambda all_: [*all_[:4], replace(all_[4], root=bytes(32)), *all_[5:]],
        f"entry 4: it names the root {bytes(32).hex()} at size 100, the consent log has",
    ),
    "two maps of one size": (
        lambda all_: [*all_[:5], replace(all_[4], map=bytes(32)), *all_[5:]],
        "entry 5: it names size 100, not larger than the previous entry's 100",
    ),
    "going back": (
        lambda all_: [*all_, all_[7]],
        "entry 30: it names size 160, not larger than the previous entry's 600",
    ),
    "running ahead": (
        lambda all_: [*all_, replace(all_[-1], size=601)],
        "entry 30: it names size 601, the consent log has 600 entries",
    ),
}


@pytest.mark.parametrize("why", WRONG)
def test_a10_an_entry_that_is_not_of_a_beginning_of_the_consent_log_is_named(
    published: Path, tmp_path: Path, why: str
) -> None:
    change, finding = WRONG[why]
    honest = entries(published)
    assert audited(shown(tmp_path / "honest", honest), published).clean
    report = audited(shown(tmp_path / "wrong", change(honest)), published)
    assert [each.kind for each in report.findings] == [FindingKind.MALFORMED_ENTRY]
    assert finding in report.findings[0].message
    assert "entry" in report.findings[0].evidence


def test_a10_two_maps_of_one_size_are_found_though_one_was_seen_before(
    published: Path, tmp_path: Path
) -> None:
    honest = entries(published)
    seen = audited(shown(tmp_path, honest[:5]), published).note
    states = shown(tmp_path, [replace(honest[4], map=bytes(32))])
    report = audited(states, published, seen)
    assert (
        "entry 5: it names size 100, not larger than the previous entry's 100"
        in report.findings[0].message
    )
    assert report.note == seen


def test_a10_tiles_that_are_not_of_the_signed_consent_log_clear_nobody(
    published: Path, tmp_path: Path
) -> None:
    home = copytree(published, tmp_path / "home")
    last = max((home / "log/consent/tile/0").rglob("*"))
    data = bytearray(last.read_bytes())
    data[-1] ^= 1
    last.write_bytes(data)
    report = audited(shown(tmp_path, entries(published)), home)
    assert FindingKind.WRONG_ROOT in {each.kind for each in report.findings}
    assert report.note is None


UNUSABLE: dict[str, tuple[Callable[[Path], object], int]] = {  # and the exit status
    "no consent log": (lambda home: rmtree(home / "log/consent"), 2),
    "no checkpoint": (lambda home: (home / "log/consent/checkpoint").unlink(), 3),
    "half of a checkpoint": (lambda home: (home / "log/consent/checkpoint").write_text("x\n"), 1),
}


@pytest.mark.parametrize("why", UNUSABLE)
def test_a10_a_consent_log_that_cannot_be_read_clears_nobody(
    published: Path, tmp_path: Path, why: str
) -> None:
    home = copytree(published, tmp_path / "home")
    damage, status = UNUSABLE[why]
    damage(home)
    done = CliRunner().invoke(app, arguments(home))
    assert done.exit_code == status, done.output


def test_a10_a_consent_log_of_somebody_else_clears_nobody(published: Path, tmp_path: Path) -> None:
    other = Ledger.open(tmp_path, origin=ORIGIN)
    other.export(tmp_path / "log/consent")
    other.close()
    home = copytree(published, tmp_path / "home")
    rmtree(home / "log/consent")
    copytree(tmp_path / "log/consent", home / "log/consent")
    done = CliRunner().invoke(app, arguments(home))
    assert (done.exit_code, "not checked" in done.stdout) == (1, True)
