"""A wave of withdrawals, from the customers' taps to a closed review, over the bank's own data.

While it runs, a consumer reads the scene's table over HTTP and single customers through the gate:
it must see no error and no other schema (S9).
"""

import io
import json
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from threading import Event, Thread
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cloudevents.core.base import BaseCloudEvent
from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from standardwebhooks import Webhook as Verifier
from starlette.testclient import TestClient
from typer.testing import CliRunner

from gate.contracts.scene import Fallback
from gate.reads.bulk.formats import ARROW
from gate.reads.request import ReadRequest
from ledger.events.envelope import Granted, Instruction, Withdrawn
from ledger.service import Ledger
from portal.app import create_app
from portal.commands import app as commands
from portal.consent.wording import wording
from portal.demo.sources import customers
from portal.demo.sources.grants import initial_grants
from portal.operations import release_service
from portal.operations.settings import Settings
from portal.operations.wiring import Product, open_product
from portal.web import i18n
from steward.cases.case import Cases, Status
from steward.change_flow import ChangeFlow
from steward.notify import masked_name, recipients
from steward.notify.outbox import Outbox
from steward.notify.webhook import PREFIX, keys
from synthetic.fitting.release import Release
from tests.bank import bank, contracts
from tests.steward.change.receiver import listening

SCENE = "segmentation"
GRANTS = 3_000  # customers who allow the scene, some of them without one field
WAVE = 300  # of them withdraw: one in ten
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
NOW = datetime.now(UTC).replace(microsecond=0)
START = NOW - HOUR  # of the wave: by now its case gathers no more


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Product:
    """The first customers of the demonstration with its grants, and a release fitted on them."""
    home = tmp_path_factory.mktemp("bank")
    granted = [*islice((each for each in initial_grants() if each[1] == SCENE), GRANTS)]
    with duckdb.connect() as everybody:
        customers.load(everybody)
        everybody.execute(f"ATTACH '{home / 'customers.duckdb'}' AS small")
        last = granted[-1][0]
        everybody.execute(f"CREATE TABLE small.customer AS FROM customer WHERE id <= '{last}'")
    settings = Settings(data_dir=home, demo=True)
    said = wording(contracts()[1][SCENE], i18n.load()["en"])
    ledger = Ledger.open(home, origin=bank().origin)
    agreed = {who: Granted(scene, fields, None) for who, scene, fields in granted}
    at = START - 30 * DAY
    ledger.record([ledger.draft(who, act, at=at, wording=said) for who, act in agreed.items()])
    ledger.close()
    product = open_product(settings)
    release_service.release(product, product.scenes[SCENE], START)
    return product


def flow_of(product: Product) -> ChangeFlow:
    return ChangeFlow(
        product.home,
        product.ledger,
        product.scenes,
        product.ledger.origin,
        recipients.load(product.home).channels,
        lambda scene: found if isinstance(found := product.gate.release(scene), Release) else None,
        masked_name.through(product.gate, product.company.roles.desk),
    )


def withdraw(product: Product, who: list[str]) -> None:
    said = wording(product.scenes[SCENE], i18n.load()["en"])
    drafts: list[Instruction] = [
        product.ledger.draft(each, Withdrawn(SCENE), at=START, wording=said) for each in who
    ]
    product.ledger.record(drafts)


class Consumer(Thread):
    """Reads for as long as it is let, and keeps what it saw."""

    def __init__(self, product: Product, who: str) -> None:
        super().__init__()
        self._product, self._who = product, who
        self.done, self.turned = Event(), Event()
        self.errors: list[Exception] = []
        self.schemas: set[str] = set()
        self.rows: set[int] = set()
        self.views: list[str] = []

    def run(self) -> None:
        client = TestClient(create_app(self._product), headers={"Sec-Fetch-Site": "same-origin"})
        while not self.done.is_set():
            try:
                self._table(client)
                self._point()
            except Exception as error:  # noqa: BLE001 - that is what the test is about
                self.errors.append(error)
            self.turned.set()

    def see(self) -> None:
        """Wait until it has read once more, from beginning to end."""
        for _ in range(2):
            self.turned.clear()
            assert self.turned.wait(180)

    def _table(self, client: TestClient) -> None:
        asked = {"scene": SCENE, "fields": ["age", "job", "balance"]}
        headers = {"Authorization": "Bearer demo-analytics", "Accept": ARROW}
        answer = client.post("/v1/table", json=asked, headers=headers)
        assert answer.status_code == 200, answer.text
        table = pa.ipc.open_stream(io.BytesIO(answer.content)).read_all()
        self.schemas.add(str(table.schema.remove_metadata()))
        self.rows.add(table.num_rows)

    def _point(self) -> None:
        answer = self._product.gate.read(
            ReadRequest("analytics", SCENE, self._who, ("age", "job"), datetime.now(UTC))
        )
        assert [*answer.values] == ["age", "job"]
        assert None not in answer.values.values()
        self.views.append(answer.views["age"])


@contextmanager
def consuming(product: Product, who: str) -> Iterator[Consumer]:
    consumer = Consumer(product, who)
    consumer.start()
    try:
        yield consumer
    finally:
        consumer.done.set()
        consumer.join()


def evaluated(product: Product, folder: Path) -> dict[str, dict[str, float]]:
    """The expected losses by share withdrawn, as the evaluation command prints them."""
    release = product.gate.release(SCENE)
    assert isinstance(release, Release)
    body, rows = folder / "release.json", folder / "rows.parquet"
    body.write_text(json.dumps(release.body()))
    columns = [*release.domain.columns]
    consenting = product.gate.consenting(SCENE, columns, START)
    pq.write_table(product.gate.source.rows(consenting, columns).to_pyarrow(), rows)
    arguments = ["synth", "report", str(body), "--rows", str(rows), "--to", str(folder / "r.html")]
    done = CliRunner().invoke(commands, arguments)
    assert done.exit_code == 0, done.output
    printed: dict[str, dict[str, float]] = json.loads((folder / "r.json").read_text())[
        "expected_loss"
    ]
    return printed


@dataclass(frozen=True)
class Wave:
    """What was seen of it, by whom."""

    leaving: list[str]
    printed: dict[str, dict[str, float]]
    notices: list[dict[str, Any]]
    events: list[BaseCloudEvent]
    consumer: Consumer


@pytest.fixture(scope="module")
def wave(product: Product, tmp_path_factory: pytest.TempPathFactory) -> Wave:
    """One in ten withdraws, ten times thirty; the notices go to a receiver of the company's."""
    printed = evaluated(product, tmp_path_factory.mktemp("report"))
    leaving = product.gate.subjects()[:WAVE]
    with listening() as receiver, consuming(product, leaving[0]) as consumer:
        (product.home / recipients.FILE).write_text(
            f'[webhook.crm]\nurl = "{receiver.url}"\nroles = ["account-manager"]\n'
        )
        flow, outbox = flow_of(product), Outbox(product.home)
        senders = recipients.load(product.home).sender
        flow.run(START)
        consumer.see()
        for start in range(0, WAVE, 30):
            withdraw(product, leaving[start : start + 30])
            flow.run(START)
            outbox.deliver(senders, datetime.now(UTC))
        flow.run(NOW)
        outbox.deliver(senders, datetime.now(UTC))
        consumer.see()
    secret = PREFIX + b64encode(keys(product.home / "keys" / "webhook-crm.whsec")[0]).decode()
    notices = [Verifier(secret).verify(body, said) for said, body in receiver.heard]
    events = [from_http_event(HTTPMessage(lowered(said), body)) for said, body in receiver.heard]
    return Wave(leaving, printed, notices, events, consumer)


def lowered(headers: dict[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def test_the_wave_is_one_case_whose_loss_is_the_one_the_evaluation_prints(
    wave: Wave, product: Product
) -> None:
    (case,) = Cases(product.home).open_cases()
    assert (case.scene, case.count, case.live) == (SCENE, WAVE, GRANTS)
    assert case.fallback is Fallback.SYNTHETIC
    assert case.loss is not None
    assert {"mean": case.loss.mean, "p95": case.loss.p95} == wave.printed["0.1"]


def test_the_notices_carry_that_loss_and_nobodys_id(wave: Wave) -> None:
    opened, grew = [each["data"] for each in wave.notices]
    assert (opened["count"], grew["count"]) == (30, WAVE)
    assert {name: grew["loss"][name] for name in ("mean", "p95")} == wave.printed["0.1"]
    assert len(grew["customers"]) == 5
    assert all(len(each) == 4 and each.endswith("***") for each in grew["customers"])
    assert not any(who in str(wave.notices) for who in wave.leaving)


def test_the_notices_are_events_that_another_library_reads(wave: Wave, product: Product) -> None:
    assert [each.get_type() for each in wave.events] == [
        "sovereign.case.opened",
        "sovereign.case.grew",
    ]
    assert {each.get_source() for each in wave.events} == {f"//{product.ledger.origin}"}
    assert {each.get_subject() for each in wave.events} == {"case/1"}
    assert [each.get_extension("sequence") for each in wave.events] == ["00000001", "00000002"]
    assert [each.get_data() for each in wave.events] == [each["data"] for each in wave.notices]


def test_no_consumer_sees_an_error_or_another_schema(wave: Wave, product: Product) -> None:
    assert wave.consumer.errors == []
    assert len(wave.consumer.schemas) == 1
    assert wave.consumer.rows == {product.gate.source.count()}
    assert set(wave.consumer.views) == {"personal", "synthetic"}
    assert wave.consumer.views == sorted(wave.consumer.views), "never personal again"


def test_the_review_closes_the_case_for_good(wave: Wave, product: Product) -> None:
    cases, outbox = Cases(product.home), Outbox(product.home)
    number = wave.notices[0]["data"]["case"]
    cases.take(number, "account manager 7", NOW)
    cases.close(number, "account manager 7", "trends hold on the fallback", NOW + HOUR)
    flow_of(product).run(NOW + 9 * DAY)
    assert cases.open_cases() == []
    assert cases.case(number).status is Status.CLOSED
    assert [each.act for each in cases.acts(number)] == ["opened", "grew", "taken", "closed"]
    assert outbox.waiting() == outbox.dead() == []
