"""The command line over cases and notices, and the flow that runs beside the portal."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread

import duckdb
import pytest
import uvicorn
from typer.testing import CliRunner, Result

from gate.contracts.scene import Fallback
from ledger.events.envelope import Act, Granted, SyntheticReleased, Withdrawn
from ledger.service import Ledger
from portal.app import create_app
from portal.commands import app
from portal.demo.sources import customers
from portal.jobs import schedule
from portal.operations.settings import Settings
from portal.operations.wiring import Product, open_product
from steward.cases.case import Cases
from steward.notify.outbox import RETRY_AFTER_S, Outbox
from tests.bank import bank
from tests.ledger.events import WORDING
from tests.steward.change.office import Pile, bank_release
from tests.steward.change.receiver import listening, nobody

ORIGIN = bank().origin
SCENE, FIELDS = "segmentation", ("age", "job")
NOW = datetime.now(UTC).replace(microsecond=0)


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["steward", *map(str, arguments)], env={"COLUMNS": "200"})


def say(ledger: Ledger, who: str, *acts: Act) -> None:
    for act in acts:
        ledger.record([ledger.draft(who, act, at=NOW, wording=WORDING)])


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A ledger that somebody else writes, with one withdrawal."""
    ledger = Ledger.open(tmp_path, origin=ORIGIN)
    say(ledger, "c00001", Granted(SCENE, FIELDS, None), Withdrawn(SCENE))
    ledger.close()
    return tmp_path


def test_run_opens_the_case_and_delivers_its_notice(home: Path) -> None:
    done = invoke("run", "--data-dir", home)
    assert done.output == "1 changes; 1 notices delivered, 0 will be tried again, 0 failed\n"
    (path,) = (home / "mail").iterdir()
    assert b"account-manager@steward.invalid" in path.read_bytes()
    assert invoke("run", "--data-dir", home).output.startswith("0 changes; 0 notices delivered")


def test_run_writes_nothing_into_the_ledger(home: Path) -> None:
    before = {each.name for each in home.iterdir()}, Ledger.reopen(home).root()
    invoke("run", "--data-dir", home)
    assert Ledger.reopen(home).root() == before[1]
    assert {each.name for each in home.iterdir()} - before[0] >= {"steward.sqlite", "mail"}


def test_run_measures_with_the_release_that_the_ledger_holds(home: Path) -> None:
    ledger = Ledger.reopen(home)
    release = bank_release()
    ledger.announce([SyntheticReleased(release.id, SCENE, release.body(), NOW)])
    say(ledger, "c00002", Granted(SCENE, FIELDS, None), Withdrawn(SCENE))
    ledger.close()
    invoke("run", "--data-dir", home)
    (case,) = Cases(home).open_cases()
    assert case.fallback is Fallback.SYNTHETIC
    assert case.loss is not None
    assert case.loss.release == release.id


def test_run_without_a_ledger_says_so(tmp_path: Path) -> None:
    done = invoke("run", "--data-dir", tmp_path)
    assert done.exit_code == 2
    assert f"no ledger in {tmp_path}" in done.output


def test_run_with_recipients_that_cannot_be_used_says_so_and_opens_cases(home: Path) -> None:
    (home / "steward.toml").write_text("pigeon = 1")
    done = invoke("run", "--data-dir", home)
    assert done.exit_code == 2
    said = " ".join(done.output.replace("│", " ").split())  # however wide the terminal is
    assert "pigeon: unknown key, want mail or webhook" in said
    assert "1 changes; no notices delivered" in said
    assert len(Cases(home).open_cases()) == 1
    (home / "steward.toml").unlink()
    assert invoke("run", "--data-dir", home).output.startswith("0 changes; 1 notices delivered")


def test_cases_lists_what_is_open(home: Path) -> None:
    assert invoke("cases", "--data-dir", home).output == "no open cases\n"
    invoke("run", "--data-dir", home)
    listed = invoke("cases", "--data-dir", home).output
    assert "segmentation" in listed
    assert "not measured" in listed
    told = json.loads(invoke("cases", "--data-dir", home, "--json").output)
    assert (told["case"], told["kind"], told["customers"]) == (1, "withdrawal", ["***"])


def test_notices_lists_what_waits_and_shows_the_words_of_a_case(home: Path) -> None:
    assert invoke("notices", "--data-dir", home).output == "no notices\n"
    invoke("run", "--data-dir", home)
    shown = invoke("notices", "--data-dir", home, "--case", 1).output
    assert "delivered" in shown
    assert "switched off everything" in shown
    assert "工单 1" in shown


@pytest.fixture
def dead(home: Path) -> Path:
    """The receiver was down until nobody tried any more."""
    hook = f'[webhook.crm]\nurl = "{nobody()}"\nroles = ["account-manager"]\n'
    (home / "steward.toml").write_text(hook)
    assert "1 will be tried again" in invoke("run", "--data-dir", home).output
    at, outbox = datetime.now(UTC), Outbox(home)
    for wait in RETRY_AFTER_S:
        at += timedelta(seconds=wait)
        outbox.deliver(lambda _channel: Pile(down=True), at)
    return home


def test_a_dead_letter_is_listed_and_replayed(dead: Path) -> None:
    (letter,) = Outbox(dead).dead()
    listed = json.loads(invoke("notices", "--data-dir", dead, "--dead", "--json").output)
    assert (listed["id"], listed["error"]) == (letter.id, "the pile is down")
    with listening() as receiver:
        hook = f'[webhook.crm]\nurl = "{receiver.url}"\nroles = ["account-manager"]\n'
        (dead / "steward.toml").write_text(hook)
        done = invoke("replay", letter.id, "--data-dir", dead, "--by", "ada")
        assert done.output == "1 failed notices will be sent again\n"
        invoke("run", "--data-dir", dead)
    assert [headers["webhook-id"] for headers, _ in receiver.heard] == [letter.id]
    assert [each.by for each in Cases(dead).acts(1)] == ["steward", "ada"]


def test_replaying_what_is_not_dead_is_told(dead: Path) -> None:
    done = invoke("replay", "no-such-letter", "--data-dir", dead)
    assert done.exit_code == 1
    assert "not failed notices" in done.output
    assert len(Outbox(dead).dead()) == 1


@pytest.fixture
def product(tmp_path: Path) -> Product:
    """Two customers of the demonstration, and the portal's own product over them."""
    with duckdb.connect() as everybody:
        customers.load(everybody)
        everybody.execute(f"ATTACH '{tmp_path / 'customers.duckdb'}' AS small")
        everybody.execute("CREATE TABLE small.customer AS FROM customer WHERE id <= 'c00002'")
    return open_product(Settings(data_dir=tmp_path, demo=True))


def waited(home: Path) -> int:
    """How many cases are open, once there is one."""
    cases = Cases(home)
    until(cases.open_cases)
    return len(cases.open_cases())


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 180
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def named(product: Product, who: str) -> str:
    name = product.gate.source.row(who, ["name"])
    assert name is not None
    return f"{name['name'][0]}***"


def test_while_the_product_is_served_the_flow_runs_by_itself(product: Product) -> None:
    with schedule.runner(product).running():
        say(product.ledger, "c00001", Granted(SCENE, FIELDS, None), Withdrawn(SCENE))
        assert waited(product.home) == 1
    (case,) = Cases(product.home).open_cases()
    assert case.customers == (named(product, "c00001"),)


def test_a_case_is_opened_while_its_notice_has_no_way_out(product: Product) -> None:
    (product.home / "steward.toml").write_text("pigeon = 1")
    runner = schedule.runner(product)
    with runner.running():
        say(product.ledger, "c00001", Granted(SCENE, FIELDS, None), Withdrawn(SCENE))
        assert waited(product.home) == 1
        until(lambda: runner.results.result("delivery").failures)
        assert "unknown key" in runner.results.result("delivery").error
        (letter,) = Outbox(product.home).waiting()
        assert letter.channel == "unrouted/account-manager"
        (product.home / "steward.toml").unlink()
        until(lambda: not Outbox(product.home).waiting())
    (letter,) = Outbox(product.home).of(1)
    assert (letter.channel, letter.state) == ("file/account-manager", "delivered")
    assert (product.home / "mail" / f"{letter.id}.eml").exists()


def test_names_are_asked_of_a_gate_over_http(product: Product) -> None:
    say(product.ledger, "c00002", Granted(SCENE, FIELDS, None), Withdrawn(SCENE))
    config = uvicorn.Config(create_app(product), port=0, log_level="error")
    server = uvicorn.Server(config)
    thread = Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    gate = ["--gate", f"http://127.0.0.1:{port}", "--token", "demo-customer-care"]
    done = invoke("run", "--data-dir", product.home, *gate)
    server.should_exit = True
    thread.join()
    assert done.exit_code == 0, done.output
    (case,) = Cases(product.home).open_cases()
    assert case.customers == (named(product, "c00002"),)


def test_a_gate_that_does_not_answer_leaves_the_stars_alone(home: Path) -> None:
    done = invoke("run", "--data-dir", home, "--gate", nobody(), "--token", "x")
    assert done.exit_code == 0, done.output
    assert Cases(home).open_cases()[0].customers == ("***",)
