"""The gate alone follows a data directory that somebody else writes (G75, G76)."""

import re
import shutil
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from urllib.request import urlopen

import pytest
from typer.testing import CliRunner

from gate.decision.decide import Reason
from gate.reads.request import ReadRequest
from ledger import clock
from ledger.events.envelope import PolicyPublished, ReadLogOpened, ScenePublished, Withdrawn
from ledger.follower import Follower
from ledger.service import Ledger
from ledger.tlog import signed_note
from portal.commands import app
from portal.consent import wording
from portal.operations import gate_process, release_service
from portal.operations.gate_process import (
    LedgerWatch,
    NotAnnouncedError,
    OpeningFileError,
    OtherTermsError,
    Standalone,
    open_gate,
)
from portal.operations.settings import Settings
from portal.operations.wiring import SNAPSHOT, Product
from portal.web import i18n
from sovereign_client import Client
from tests.features.loopback import free_port
from tests.features.served import HERE
from tests.portal.conftest import START, Clock, allow

SCENE, SERVICE, ME, FIELD = "nearest-branch", "branch-finder", "c00007", "postcode_area"
NEVER = 180.0


def test_g75_a_gate_waits_for_the_snapshot_that_an_erasure_removed(
    product: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    product.gate.catch_up()
    follower = Follower(product.home)
    file = product.home / SNAPSHOT
    file.unlink(missing_ok=True)
    clock = SimpleNamespace(monotonic=lambda: 0.0, sleep=lambda _seconds: product.keep_state())
    monkeypatch.setattr(gate_process, "time", clock)
    known = product.home, product.scenes, follower
    assert gate_process._snapshot(*known) is None  # a small ledger is read
    assert not file.exists()
    monkeypatch.setattr(gate_process, "MAX_READ", 0)
    state = gate_process._snapshot(*known)
    assert state is not None
    assert state.size == product.ledger.size
    follower.close()


def test_g75_a_gate_starts_when_no_snapshot_comes(
    product: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    (product.home / SNAPSHOT).unlink(missing_ok=True)
    times = iter([0.0, 1.0, gate_process.SNAPSHOT_S + 1])
    clock = SimpleNamespace(monotonic=lambda: next(times), sleep=lambda _seconds: None)
    monkeypatch.setattr(gate_process, "time", clock)
    monkeypatch.setattr(gate_process, "MAX_READ", 0)
    follower = Follower(product.home)
    assert gate_process._snapshot(product.home, product.scenes, follower) is None
    follower.close()


def until_it_waits(home: Path) -> None:
    deadline = time.monotonic() + NEVER
    while not [*home.glob(f"reads/*/{gate_process.OPENING}")]:
        assert time.monotonic() < deadline
        time.sleep(0.05)


@contextmanager
def serving(product: Product) -> Iterator[str]:
    """`sovereign gate serve` in a process of its own, announced by the product that writes."""
    port, log = free_port(), product.home.with_suffix(".log")
    command = ("gate", "serve", "--data-dir", product.home, "--port", str(port))
    process = HERE.begin(*command, log=log, SOVEREIGN_DEMO="true")
    try:
        until_it_waits(product.home)
        assert gate_process.announce(product.ledger, product.home) == 1
        address = f"http://127.0.0.1:{port}"
        _until_up(address)
        yield address
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def _until_up(address: str) -> None:
    deadline = time.monotonic() + NEVER
    while True:
        try:
            with urlopen(f"{address}/healthz", timeout=60) as answer:
                assert b'"status": "ok"' in answer.read()
                return
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_it_answers_follows_the_ledger_and_journals_for_the_customer(product: Product) -> None:
    allow(product, ME, SCENE)
    with serving(product) as address, Client(address, f"demo-{SERVICE}") as gate:
        assert gate.read(SCENE, ME, [FIELD]).views == {FIELD: "personal"}
        shown = wording.wording(product.scenes[SCENE], i18n.load()["en"])
        said = product.ledger.draft(ME, Withdrawn(SCENE), at=clock.now(), wording=shown)
        (recorded,) = product.ledger.record([said])
        after = gate.read(SCENE, ME, [FIELD], minimum_size=recorded.index + 1)
        assert (after.views, after.reason) == ({FIELD: "withheld"}, "withdrawn")
        seen = [entry["reason"] for _, entry in product.reads_of(ME)]
        assert seen[:2] == ["withdrawn", "granted"]


def test_its_read_log_is_announced_before_it_answers(product: Product) -> None:
    with serving(product) as address, Client(address, f"demo-{SERVICE}") as gate:
        log = gate.read(SCENE, ME, [FIELD]).read_log
        opened = [e.event for e in product.ledger.announced() if isinstance(e.event, ReadLogOpened)]
        assert opened[-1].origin == log
        vkey = product.home / "keys" / f"{log.rsplit('/', 1)[-1]}.vkey"
        assert vkey.read_text().strip() == opened[-1].key


def test_unannounced_it_does_not_start(product: Product) -> None:
    settings = Settings(data_dir=product.home)
    with pytest.raises(NotAnnouncedError, match="sovereign gate announce"):
        open_gate(settings, wait_s=0)


def test_under_other_contracts_it_does_not_start(product: Product) -> None:
    product.ledger.announce([ScenePublished(SCENE, "9.0.0", "f" * 64, START)])
    with pytest.raises(OtherTermsError, match=SCENE):
        open_gate(Settings(data_dir=product.home), wait_s=0)


@pytest.fixture
def alone(product: Product) -> Iterator[Standalone]:
    """A gate in this process, announced."""
    with ThreadPoolExecutor(1) as pool:
        opening = pool.submit(open_gate, Settings(data_dir=product.home), wait_s=NEVER)
        until_it_waits(product.home)
        gate_process.announce(product.ledger, product.home)
        yield opening.result()


def test_a_scene_that_comes_under_other_terms_is_suspended(
    alone: Standalone, product: Product
) -> None:
    watch = LedgerWatch(alone, product.home)
    assert alone.gate.suspended == set()
    product.ledger.announce([ScenePublished("elsewhere", "9.0.0", "f" * 64, START)])
    product.ledger.announce([ScenePublished(SCENE, "9.0.0", "f" * 64, START)])
    watch.look()
    assert alone.gate.suspended == {SCENE}
    answer = alone.gate.read(ReadRequest(SERVICE, SCENE, ME, (FIELD,), START))
    assert (answer.decision.allowed, answer.decision.reason) == (False, Reason.SUSPENDED)


def test_what_a_command_records_is_known_to_it_at_once(alone: Standalone, product: Product) -> None:
    asked = ReadRequest(SERVICE, SCENE, ME, (FIELD,), START)
    assert alone.gate.decide(asked).allowed
    product.ledger.close()
    done = CliRunner().invoke(app, ["erase", ME, "--data-dir", str(product.home)])
    assert done.exit_code == 0, done.output
    answer = alone.gate.read(asked)
    assert (answer.decision.allowed, answer.values) == (False, {FIELD: None})


def test_under_another_policy_every_scene_is_suspended(alone: Standalone, product: Product) -> None:
    watch = LedgerWatch(alone, product.home)
    product.ledger.announce([PolicyPublished("f" * 64, START)])
    watch.look()
    assert alone.gate.suspended == {*alone.scenes}


def test_a_release_that_is_announced_meanwhile_is_served(
    alone: Standalone, product: Product
) -> None:
    with LedgerWatch(alone, product.home).looking():
        assert alone.gate.release("segmentation") is None
        release_service.release(product, product.scenes["segmentation"], START)
        deadline = time.monotonic() + NEVER
        while (found := alone.gate.release("segmentation")) is None:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    served = product.gate.served("segmentation")
    assert served.last is not None
    assert found.id == served.last.id
    release_service.release(product, product.scenes["segmentation"], START)
    LedgerWatch(alone, product.home)  # looks from the beginning of the log
    ours, theirs = alone.gate.served("segmentation"), product.gate.served("segmentation")
    assert [each.id for each in ours.releases] == [each.id for each in theirs.releases]
    assert len(ours.releases) == 2
    assert ours.anchor is not None
    assert theirs.anchor is not None
    assert ours.anchor.id == theirs.anchor.id  # G115


def test_where_no_portal_runs_a_command_announces(product: Product, tmp_path: Path) -> None:
    home = tmp_path / "copy"
    product.ledger.close()
    shutil.copytree(product.home, home)
    with pytest.raises(NotAnnouncedError):
        open_gate(Settings(data_dir=home), wait_s=0)
    done = CliRunner().invoke(app, ["gate", "announce", "--data-dir", str(home)])
    assert done.stdout == "1 read logs announced\n"
    ledger = Ledger.reopen(home)
    assert any(isinstance(e.event, ReadLogOpened) for e in ledger.announced())
    ledger.close()
    again = CliRunner().invoke(app, ["gate", "announce", "--data-dir", str(home)])
    assert re.match("0 read logs", again.stdout)


def test_the_command_says_why_it_does_not_start(product: Product, clock: Clock) -> None:
    command = ["gate", "serve", "--data-dir", str(product.home), "--wait", "0"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 1
    assert "nobody announced" in done.stderr


MALFORMED = {
    "nothing": "",
    "a key that is none": "example.org/reads-1\nexample.org/reads-1+00+AA",
    "the key of another log": "example.org/reads-1\nexample.org/reads-2+9f8e7d6c+AbCd",
    "letters that are not ASCII": "例\n例",
}


@pytest.mark.parametrize("why", MALFORMED)
def test_an_opening_that_cannot_be_read_holds_up_no_other(why: str, product: Product) -> None:
    bad, good = (product.home / "reads" / name / gate_process.OPENING for name in ("a", "b"))
    origin = "example.org/reads-b"
    for path, text in (
        (bad, MALFORMED[why]),
        (good, f"{origin}\n{signed_note.generate(origin).verifier}"),
    ):
        path.parent.mkdir()
        path.write_text(text, "utf-8")
    with pytest.raises(OpeningFileError, match="reads/a/opening"):
        gate_process.announce(product.ledger, product.home)
    opened = [e.event for e in product.ledger.announced() if isinstance(e.event, ReadLogOpened)]
    assert opened[-1].origin == origin
    assert (bad.exists(), good.exists()) == (True, False)
