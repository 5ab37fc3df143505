"""The company, with all its keys and the product's code, changes the map without an instruction.

Each act is found by `sovereign audit-states --transitions`, which names it; an auditor that lacks
the check finds nothing.
"""

import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import ClassVar

import pytest
from typer.testing import CliRunner

from ledger import bound_logs
from ledger.events import envelope
from ledger.events.envelope import EntryErased, SubjectErased, Withdrawn
from ledger.statemap.map_log import StateLog
from ledger.statemap.map_replay import MapReplay
from ledger.statemap.transition import StateVersion
from ledger.statemap.verifiable_map import Label
from ledger.vault import commitments
from portal.commands.log.audit import app
from tests.attacks.test_two_histories import ME, Company
from tests.ledger.events import NOON
from tests.ledger.worlds import AGE, opened, say

WITHDRAWN = Withdrawn("segmentation")
CONSENT_TABLES = ("head", "bundle", "tile", "sealed", "idempotency")
Patch = pytest.MonkeyPatch


@pytest.fixture
def company(tmp_path: Path) -> Iterator[Company]:
    made = Company(tmp_path)
    yield made
    made.second.close()
    made.honest.close()
    made.ledger.log.close()


def handed_out(company: Company) -> Path:
    """The transitions that the company gives to auditors, after it published both logs."""
    company.publish()
    to = company.home.parent / "transitions"
    ran = CliRunner().invoke(app, ["transitions", str(to), f"--data-dir={company.home}"])
    assert ran.exit_code == 0, ran.output
    return to


def audited(company: Company) -> str:
    """What `sovereign audit-states` prints of what the company publishes and hands out."""
    return company.audited("--transitions", str(handed_out(company)))


def version_of(company: Company, number: int) -> dict[Label, StateVersion]:
    """The customer's present state, under this version."""
    state = company.ledger.state(ME)
    assert state is not None
    opening = company.ledger._latest.opening_of(state)
    return {company.ledger.states.labels.of(ME): replace(opening.version, version=number)}


def commit_public(company: Company, versions: Mapping[Label, StateVersion]) -> None:
    """An entry that is no instruction, and a change of the map with it."""
    entry = commitments.public_entry(envelope.encode(EntryErased(0, NOON)))
    company.ledger._recorder.commit([entry], versions=versions)


def rolled_back_and_extended(company: Company, _: Patch) -> None:
    """The state log goes back to before the withdrawal, and on from there."""
    company.ledger.close()
    earlier = shutil.copy(company.home / "ledger.sqlite", company.home.parent / "earlier")
    with closing(ledger := opened(company.home)):
        say(ledger, ME, WITHDRAWN)
    with closing(sqlite3.connect(earlier)) as database, database:
        database.execute("ATTACH ? AS newer", [str(company.home / "ledger.sqlite")])
        for table in CONSENT_TABLES:
            database.execute(f"DELETE FROM {table}")
            database.execute(f"INSERT INTO {table} SELECT * FROM newer.{table}")
    for path in company.home.glob("ledger.sqlite*"):
        path.unlink()
    shutil.copy(earlier, company.home / "ledger.sqlite")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bound_logs, "require", lambda *_: None)
        company.ledger = opened(company.home)
    staged = company.ledger.log.stage([])
    update = company.ledger.states.stage(company.ledger.log.size, staged.root, {})
    company.ledger.log.commit(staged, update.batch)
    company.ledger.states.settle(update)


def left_out(company: Company, patch: Patch) -> None:
    honest = StateLog.stage
    patch.setattr(StateLog, "stage", lambda log, size, root, _: honest(log, size, root, {}))
    say(company.ledger, ME, WITHDRAWN)
    patch.undo()


def earlier_state(company: Company, _: Patch) -> None:
    """The state of the grant comes back, under a version that nothing led to."""
    granted = version_of(company, 3)
    say(company.ledger, ME, WITHDRAWN)
    commit_public(company, granted)


def changed_without_an_entry(company: Company, _: Patch) -> None:
    commit_public(company, version_of(company, 2))


def restarted(company: Company, _: Patch) -> None:
    """The second key store begins the customer's chain again, with a grant."""
    company.restart()


def restarted_later(company: Company, _: Patch) -> None:
    say(company.ledger, ME, WITHDRAWN, AGE)
    company.restart()


def unrecorded(company: Company, patch: Patch) -> None:
    """The map changes, and the record of it says nothing."""
    say(company.ledger, ME, WITHDRAWN)
    company.ledger.close()
    with closing(sqlite3.connect(company.home / "ledger.sqlite")) as database, database:
        database.execute('UPDATE state_transition SET data = ? WHERE "index" = 2', [b"\x01"])
    company.ledger = opened(company.home)


LEFT_OUT = "the versions advance by 0, and the consent log gained 1 instructions"
CHANGED = (
    "the versions advance by 1, and the consent log gained 0 instructions: a state changed without "
    "an instruction"
)
Act = Callable[[Company, Patch], None]
# the act, what the audit says, and the check without which it says nothing
ACTS: dict[str, tuple[Act, str, tuple[str, ...]]] = {
    "a state log that is rolled back and extended": (
        rolled_back_and_extended,
        f"entry 2: {LEFT_OUT}: the map leaves an instruction out, or shows an older state",
        ("_miscounted",),
    ),
    "an instruction that the map leaves out": (
        left_out,
        f"entry 2: {LEFT_OUT}",
        ("_miscounted",),
    ),
    "an earlier state that comes back": (
        earlier_state,
        f"entry 3: {CHANGED}",
        ("_miscounted",),
    ),
    "a value that changed without an entry": (
        changed_without_an_entry,
        f"entry 2: {CHANGED}",
        ("_miscounted",),
    ),
    "a chain that restarts": (
        restarted,
        "its history restarts at version 1, after version 1; the consent log has announced 0",
        ("_restarted",),
    ),
    "a chain that restarts after three instructions": (
        restarted_later,
        "its history restarts at version 1, after version 3; the consent log has announced 0",
        ("_restarted",),
    ),
    "a record that does not lead to the map": (
        unrecorded,
        "entry 2: the map's root does not follow from the root before and the given changes",
        ("_miscounted", "_misrooted"),
    ),
}


@pytest.mark.parametrize("why", ACTS)
def test_a_change_that_no_instruction_justifies_is_named(
    company: Company, monkeypatch: Patch, why: str
) -> None:
    act, finding, checks = ACTS[why]
    assert "verdict   clean" in audited(company)
    act(company, monkeypatch)
    found = audited(company)
    assert finding in found
    assert "wrong-transition: entry " in found
    for check in checks:
        monkeypatch.setattr(MapReplay, check, lambda *_, **__: [])
    assert "verdict   clean" in audited(company)


def test_without_transitions_the_verdict_says_that_they_were_not_checked(company: Company) -> None:
    rolled_back_and_extended(company, pytest.MonkeyPatch())
    company.publish()
    assert "changes   not checked: give --transitions" in company.audited()


WITHHELD: dict[str, Callable[[Path], object]] = {
    "no file": lambda path: path.unlink(),
    "an empty file": lambda path: path.write_bytes(b""),
    "another file": lambda path: path.write_bytes(b"<html>403</html>"),
    "a file that is cut off": lambda path: path.write_bytes(path.read_bytes()[:-1]),
}


@pytest.mark.parametrize("why", WITHHELD)
def test_transitions_that_are_not_shown_are_a_finding(company: Company, why: str) -> None:
    path = handed_out(company)
    WITHHELD[why](path)
    assert "withheld: " in company.audited("--transitions", str(path))


class Refusing(BaseHTTPRequestHandler):
    """A company whose address knows one token."""

    given: ClassVar[bytes] = b""

    def do_GET(self) -> None:
        knows = self.headers["Authorization"] == "Bearer right"
        self.send_response(200 if knows else 403)
        self.end_headers()
        self.wfile.write(self.given if knows else b"no")

    def log_message(self, *_: object) -> None:
        """Nothing."""


def test_an_address_that_refuses_the_token_is_a_finding(company: Company, tmp_path: Path) -> None:
    Refusing.given = handed_out(company).read_bytes()
    with HTTPServer(("127.0.0.1", 0), Refusing) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        place = ["--transitions", f"http://127.0.0.1:{server.server_port}/"]
        assert "withheld: no transitions are shown: HTTP Error 403" in company.audited(*place)
        (tmp_path / "token").write_text("right\n")
        assert "verdict   clean" in company.audited(*place, f"--token-file={tmp_path / 'token'}")
        server.shutdown()


def test_records_that_are_left_out_are_a_finding(company: Company) -> None:
    path = handed_out(company)
    path.write_bytes(path.read_bytes()[:25])  # the header
    found = company.audited("--transitions", str(path))
    assert "entry 0: the map changed, and no transition is given" in found


def test_a_restart_needs_an_erasure_and_one_that_nobody_asked_for_is_announced(
    company: Company,
) -> None:
    """What remains: an announced erasure of nobody. Its customer has the earlier receipts."""
    company.ledger.announce([SubjectErased(NOON)])
    company.restart()
    assert "verdict   clean" in audited(company)
