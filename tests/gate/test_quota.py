"""Quotas and mass export (G35 to G37)."""

import asyncio
import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from gate.decision.alert import AlertKind, GateAlert
from gate.decision.decide import Reason
from gate.decision.quota import DAY, MINUTE, Quota, Quotas, wait_s
from gate.http.app import GateApp
from gate.http.searches import PageTokens
from gate.reads.bulk.named import read_named
from gate.reads.bulk.named_request import NamedRequest
from gate.reads.bulk.request import TableRequest
from gate.reads.bulk.table import read_rows, read_table
from gate.reads.request import Answer, ReadRequest
from ledger.events.envelope import Granted
from tests.gate.world import NOON, World, with_options, world

NO_LIMIT = Quota(points_alert=None, share_alert=None)


@pytest.fixture
def alerts() -> list[GateAlert]:
    return []


@pytest.fixture
def bank(tmp_path: Path, alerts: list[GateAlert]) -> World:
    bank = world(tmp_path)
    for subject in ("c1", "c2"):
        bank.says(subject, Granted("segmentation", ("age",), None))
    limit = Quota(points_per_minute=2, rows_per_day=5, points_alert=3, share_alert=0.5)
    quotas = Quotas({("analytics", "segmentation"): limit}, NO_LIMIT, alerts.append)
    return with_options(bank, quotas=quotas)


def point(bank: World, at: datetime = NOON, service: str = "analytics") -> Answer:
    return bank.gate.read(ReadRequest(service, "segmentation", "c1", ("age",), at))


def rows(bank: World, at: datetime = NOON) -> Reason:
    return read_rows(bank.gate, TableRequest("analytics", "segmentation", ("age",), at)).reason


def test_points_over_the_quota_of_a_minute_are_refused(bank: World) -> None:
    reasons = [point(bank).decision.reason for _ in range(3)]
    assert reasons == [Reason.GRANTED, Reason.GRANTED, Reason.QUOTA_EXCEEDED]
    assert point(bank).values == {}
    assert point(bank, NOON + timedelta(minutes=1)).values == {"age": 31}


def test_every_service_and_scene_has_a_quota_of_its_own(bank: World) -> None:
    for _ in range(3):
        point(bank)
    assert point(bank, service="crm").decision.reason is Reason.GRANTED
    other = ReadRequest("analytics", "contract-service", "c1", ("name",), NOON)
    assert bank.gate.read(other).values == {"name": "Ada"}


def test_rows_over_the_quota_of_a_day_are_refused_and_tables_count_as_rows_do(
    bank: World,
) -> None:
    request = TableRequest("analytics", "segmentation", ("age",), NOON)
    assert rows(bank) is Reason.GRANTED  # 2 of 5
    assert read_table(bank.gate, request).reason is Reason.GRANTED  # 4: synthetic rows are free
    assert read_table(bank.gate, request).reason is Reason.QUOTA_EXCEEDED
    assert rows(bank) is Reason.QUOTA_EXCEEDED
    assert rows(bank, NOON + timedelta(days=1)) is Reason.GRANTED


def by_name(bank: World, *people: str, at: datetime = NOON) -> Reason:
    request = NamedRequest("analytics", "segmentation", people, ("age",), at)
    return read_named(bank.gate, request).reason


def test_g171_a_read_by_name_counts_each_id_as_a_row_whoever_it_is(
    bank: World, alerts: list[GateAlert]
) -> None:
    assert by_name(bank, "nobody", "c1") is Reason.GRANTED  # 2 of 5
    assert by_name(bank, *"abcd") is Reason.QUOTA_EXCEEDED, "all or none"
    assert by_name(bank, "x", "y", "z") is Reason.GRANTED  # 5
    assert by_name(bank, "c1") is rows(bank) is Reason.QUOTA_EXCEEDED
    assert by_name(bank, "c1", "c2", at=NOON + timedelta(days=1)) is Reason.GRANTED
    (raised,) = alerts
    assert (raised.kind, raised.customers) == (AlertKind.MASS_EXPORT, 2), "2 of 2 in an hour"
    assert "by name" in raised.detail


def test_what_is_over_the_quota_is_journalled_as_a_refusal(bank: World) -> None:
    for _ in range(2):
        point(bank)
    refused = point(bank)
    (entry,) = bank.gate.journal.log.entries(refused.entry, refused.entry + 1)
    found = json.loads(entry)
    assert (found["reason"], found["views"], found["rows"]) == ("quota-exceeded", {}, 0)


def test_a_request_that_is_refused_anyway_uses_up_nothing(bank: World) -> None:
    for _ in range(5):
        bank.gate.read(ReadRequest("analytics", "segmentation", "c1", ("shoe",), NOON))
        bank.gate.read(ReadRequest("stranger", "segmentation", "c1", ("age",), NOON))
    assert point(bank).decision.reason is Reason.GRANTED


def test_a_clock_that_goes_back_opens_no_new_window(bank: World) -> None:
    for _ in range(2):
        point(bank)
    assert point(bank, NOON - timedelta(hours=3)).decision.reason is Reason.QUOTA_EXCEEDED


def test_a_large_share_in_one_answer_is_told(bank: World, alerts: list[GateAlert]) -> None:
    rows(bank)
    (alert,) = alerts
    assert (alert.kind, alert.service, alert.scene) == (
        AlertKind.MASS_EXPORT,
        "analytics",
        "segmentation",
    )
    assert (alert.customers, alert.detail) == (2, "one answer (rows) holds 2 of 3 customers")
    rows(bank)
    assert len(alerts) == 1  # once an hour
    rows(bank, NOON + timedelta(days=1))
    assert len(alerts) == 2


def test_a_table_is_told_only_where_that_is_asked_for(bank: World, alerts: list[GateAlert]) -> None:
    request = TableRequest("analytics", "segmentation", ("age",), NOON)
    read_table(bank.gate, request)
    assert alerts == []
    quota = Quota(share_alert=None, table_share_alert=0.5)
    bank = with_options(bank, quotas=Quotas(default=quota, alarm=alerts.append))
    rows(bank)
    read_table(bank.gate, request)
    assert [each.detail for each in alerts] == ["one answer (table) holds 2 of 3 customers"]


def test_a_table_names_nobody_and_tells_nobody(bank: World, alerts: list[GateAlert]) -> None:
    asked = TableRequest("analytics", "segmentation", ("age",), NOON)
    assert read_table(bank.gate, asked).reason is Reason.GRANTED
    assert alerts == []


def test_many_points_are_told_once_an_hour(bank: World, alerts: list[GateAlert]) -> None:
    for minute in range(6):
        point(bank, NOON + timedelta(minutes=minute))
    assert [each.customers for each in alerts] == [3]
    for minute in range(60, 66):
        point(bank, NOON + timedelta(minutes=minute))
    assert len(alerts) == 2


def test_an_alert_names_no_customer_and_no_value(bank: World, alerts: list[GateAlert]) -> None:
    rows(bank)
    assert "c1" not in repr(alerts)
    assert "31" not in repr(alerts)


def test_the_wait_is_until_the_window_ends() -> None:
    assert wait_s(NOON + timedelta(seconds=20, milliseconds=500), MINUTE) == 40
    assert wait_s(NOON, DAY) == 12 * 3600
    assert wait_s(NOON, MINUTE) == 60


class Anybody:
    def service(self, _headers: Any) -> str | None:
        return "analytics"


ASKED: dict[str, dict[str, Any]] = {
    "/v1/read": {"scene": "segmentation", "customer": "c1", "fields": ["age"]},
    "/v1/rows": {"scene": "segmentation", "fields": ["age"]},
    "/v1/table": {"scene": "segmentation", "fields": ["age"]},
}


SUBJECT = {"subject": {"type": "service", "id": "analytics"}, "action": {"name": "read"}}
CONTEXT = {"context": {"scene": "segmentation", "fields": ["age"]}}
SEARCH = "/access/v1/search/resource"


def about(customer: str) -> dict[str, Any]:
    return {"resource": {"type": "customer", "id": customer}}


def posted(bank: World, *asked: tuple[str, dict[str, Any]]) -> list[httpx.Response]:
    """The answers of the gate over HTTP, one after the other."""

    async def ask() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app=GateApp(bank.gate, Anybody(), lambda: NOON))  # type: ignore[arg-type] # a plain ASGI callable
        async with httpx.AsyncClient(transport=transport, base_url="http://gate") as client:
            return [await client.post(path, json=body) for path, body in asked]

    return asyncio.run(ask())


def reasons(bank: World) -> list[str]:
    """Of all entries of the read log, in their order; of a batch its decisions'."""
    log = bank.gate.journal.log
    return [json.loads(each)["reason"] for each in log.entries(0, log.size) if b"reason" in each]


def test_g35_an_evaluation_counts_as_a_read(bank: World) -> None:
    asked = SUBJECT | CONTEXT | about("c1")
    answers = [each.json() for each in posted(bank, *[("/access/v1/evaluation", asked)] * 3)]
    assert [each["decision"] for each in answers] == [True, True, False]
    assert answers[2]["context"]["reason"] == "quota-exceeded"
    assert answers[2]["context"]["views"] == {}
    assert point(bank).decision.reason is Reason.QUOTA_EXCEEDED
    assert reasons(bank) == ["granted", "granted", "quota-exceeded", "quota-exceeded"]


@pytest.mark.parametrize("semantic", ["execute_all", "deny_on_first_deny"])
def test_g35_a_batch_is_denied_from_the_first_that_has_no_room(bank: World, semantic: str) -> None:
    each = [about(customer) for customer in ("c1", "c2", "c1", "c2")]
    options = {"options": {"evaluations_semantic": semantic}}
    batch = SUBJECT | CONTEXT | {"evaluations": each} | options
    (answer,) = posted(bank, ("/access/v1/evaluations", batch))
    decisions = [each["decision"] for each in answer.json()["evaluations"]]
    assert decisions == [True, True, False, False][: 4 if semantic == "execute_all" else 3]
    usage = bank.gate.options.quotas.usage("analytics", "segmentation", NOON)
    assert usage.points == 2


def test_g35_a_search_of_actions_counts_as_a_read(bank: World) -> None:
    asked = {k: v for k, v in (SUBJECT | CONTEXT | about("c1")).items() if k != "action"}
    answers = posted(bank, *[("/access/v1/search/action", asked)] * 3)
    assert [len(each.json()["results"]) for each in answers[:2]] == [1, 1]
    assert (answers[2].status_code, answers[2].headers["retry-after"]) == (429, "60")


def test_g35_what_contract_or_policy_refuse_counts_no_evaluation(bank: World) -> None:
    strange = {"context": {"scene": "segmentation", "fields": ["shoe"]}}
    asked = [("/access/v1/evaluation", SUBJECT | strange | about("c1"))] * 5
    assert all(not each.json()["decision"] for each in posted(bank, *asked))
    assert point(bank).decision.reason is Reason.GRANTED


def test_g35_whom_a_search_names_counts_as_rows(bank: World) -> None:
    asked = SUBJECT | CONTEXT | {"resource": {"type": "customer"}}
    *within, beyond = posted(bank, *[(SEARCH, asked)] * 3)  # 2 of 5, 4 of 5
    assert [len(each.json()["results"]) for each in within] == [2, 2]
    assert (beyond.status_code, beyond.headers["retry-after"]) == (429, "43200")
    assert beyond.json()["reason"] == "quota-exceeded"
    assert reasons(bank) == ["granted", "granted", "quota-exceeded"]
    page = asked | {"page": {"limit": 1}}
    (one,) = posted(bank, (SEARCH, page))  # there is room for one name
    assert len(one.json()["results"]) == 1
    beyond_all = PageTokens(bank.gate.key, "analytics", asked).after("c2")
    (none,) = posted(bank, (SEARCH, asked | {"page": {"limit": 1, "token": beyond_all}}))
    assert none.status_code == 429  # nobody is named, but how many there are
    assert rows(bank) is Reason.QUOTA_EXCEEDED


def test_g36_pages_of_a_search_that_name_many_raise_an_alert(
    bank: World, alerts: list[GateAlert]
) -> None:
    page = SUBJECT | CONTEXT | {"resource": {"type": "customer"}, "page": {"limit": 1}}
    (first,) = posted(bank, (SEARCH, page))
    assert alerts == []  # 1 of 2 is the share that may be named
    token = first.json()["page"]["next_token"]
    posted(bank, *[(SEARCH, page | {"page": {"limit": 1, "token": token}})] * 2)
    told = (
        "searches and reads by name gave customers 2 times within an hour, of 2 "
        "whom they can be about"
    )
    assert [each.detail for each in alerts] == [told]


def test_g36_names_raise_one_alert_an_hour_though_there_are_more_customers_now() -> None:
    alerts: list[GateAlert] = []
    quotas = Quotas(default=Quota(share_alert=0.25), alarm=alerts.append)
    for names, everybody in ((1, 6), (2, 6), (5, 100), (40, 100), (9, 100)):
        quotas.alert_on_names("analytics", "segmentation", NOON, names, everybody)
    assert [each.customers for each in alerts] == [3]
    later = NOON + timedelta(hours=1)
    quotas.alert_on_names("analytics", "segmentation", later, 26, 100)
    assert [each.customers for each in alerts] == [3, 26]


def test_g36_many_evaluations_raise_an_alert(bank: World, alerts: list[GateAlert]) -> None:
    quota = Quota(points_alert=3, share_alert=None)
    bank = with_options(bank, quotas=Quotas(default=quota, alarm=alerts.append))
    batch = SUBJECT | CONTEXT | {"evaluations": [about("c1")] * 2}
    posted(bank, *[("/access/v1/evaluations", batch)] * 3)
    assert [each.customers for each in alerts] == [4]


@pytest.mark.parametrize(("path", "wait"), [("/v1/read", "60"), ("/v1/rows", "43200")])
def test_over_http_it_is_429_and_says_when_to_come_back(bank: World, path: str, wait: str) -> None:
    *within, answer = posted(bank, *[(path, ASKED[path])] * 3)
    assert {each.status_code for each in within} == {200}
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == wait
    assert answer.json()["reason"] == "quota-exceeded"
