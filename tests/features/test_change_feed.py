"""M36: a service learns what it must forget, in order, from where it left off."""

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from sovereign_client import Change, Client
from tests.features.catalogue import feature
from tests.features.loopback import PLAIN
from tests.features.served import PATIENCE_S, Person, Site, wait_for
from tests.features.test_killed_reads import gate_alone

SCENE, SERVICE, OTHER = "recommendation", "recommender", "fraud-desk"
FIELDS = ("age", "job")


def polled(address: str, token: str | None, service: str = SERVICE, wait: int = 0) -> Any:
    """One page of the feed."""
    answer = httpx.get(
        f"{address}/v1/changes",
        headers={"Authorization": f"Bearer demo-{service}"},
        params={"wait": wait} | ({} if token is None else {"since": token}),
        timeout=PATIENCE_S,
        verify=PLAIN,
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


def about(changes: list[dict[str, Any]], customer: str) -> list[tuple[Any, ...]]:
    return [(e["do"], e["reason"], e["fields"]) for e in changes if e["customer"] == customer]


@pytest.fixture(params=["portal", "gate alone"])
def gate(request: pytest.FixtureRequest, site: Site) -> Iterator[str]:
    """The address of the portal's gate, or of one that is served alone beside it."""
    with ExitStack() as stack:
        alone = request.param == "gate alone"
        yield stack.enter_context(gate_alone(site))[0] if alone else site.address


def read(address: str, customer: str) -> str:
    with Client(address, f"demo-{SERVICE}", verify=PLAIN) as client:
        return client.read(SCENE, customer, FIELDS).reason


@feature("M36")
def test_a_withdrawal_on_the_portal_reaches_the_poll_that_waits_for_it(
    site: Site, customer: Person, gate: str
) -> None:
    customer.switch(SCENE, "allow")
    token = polled(gate, None)["token"]
    assert read(gate, customer.subject) == "granted"
    with ThreadPoolExecutor(1) as waiting:
        poll = waiting.submit(polled, gate, token, SERVICE, 30)
        customer.switch(SCENE, "withdraw")
        page = poll.result()
    assert about(page["changes"], customer.subject) == [("forget", "withdrawn", [*FIELDS])]
    customer.switch(SCENE, "allow")
    page = polled(gate, page["token"])
    assert about(page["changes"], customer.subject) == [("refresh", "granted", [*FIELDS])]
    customer.switch_item(SCENE, "job", "withdraw")
    page = polled(gate, page["token"])
    assert about(page["changes"], customer.subject) == [("forget", "field-not-granted", ["job"])]


@feature("M36")
def test_a_service_that_never_read_the_customer_is_told_nothing(
    site: Site, customer: Person, gate: str
) -> None:
    customer.switch(SCENE, "allow")
    before = polled(gate, None, OTHER)["token"]
    assert read(gate, customer.subject) == "granted"
    customer.switch(SCENE, "withdraw")
    assert about(polled(gate, None)["changes"], customer.subject)
    assert polled(gate, before, OTHER)["changes"] == []
    refused = httpx.get(
        f"{gate}/v1/changes",
        headers={"Authorization": f"Bearer demo-{OTHER}"},
        params={"since": polled(gate, None)["token"]},
        verify=PLAIN,
    )
    assert refused.status_code == 400
    assert "leave it out" in refused.json()["detail"]


@feature("M36")
def test_what_one_gate_delivered_is_told_by_every_other(site: Site, customer: Person) -> None:
    customer.switch(SCENE, "allow")
    with gate_alone(site) as (alone, _):
        token = polled(site.address, None)["token"]
        assert read(alone, customer.subject) == "granted"
        customer.switch(SCENE, "withdraw")
        for address in (site.address, alone):
            changes = polled(address, token)["changes"]
            assert about(changes, customer.subject) == [("forget", "withdrawn", [*FIELDS])]


@feature("M36")
def test_a_token_leads_on_after_the_server_was_started_again(
    unserved: Path, tmp_path: Path
) -> None:

    home = shutil.copytree(unserved, tmp_path / "data")
    site, subject = Site(home, tmp_path / "server.log"), "c00011"
    with site.serving():
        customer = site.customer(subject)
        customer.switch(SCENE, "allow")
        token = polled(site.address, None)["token"]
        assert read(site.address, subject) == "granted"
        customer.switch(SCENE, "withdraw")
    with site.serving():
        page = polled(site.address, token)
        assert about(page["changes"], subject) == [("forget", "withdrawn", [*FIELDS])]
        site.customer(subject).switch(SCENE, "allow")
        page = polled(site.address, page["token"])
        assert about(page["changes"], subject) == [("refresh", "granted", [*FIELDS])]


@feature("M36")
def test_who_is_erased_is_forgotten_without_being_named(unserved: Path, tmp_path: Path) -> None:

    home = shutil.copytree(unserved, tmp_path / "data")
    site, subject = Site(home, tmp_path / "server.log"), "c00012"
    with site.serving():
        site.customer(subject).switch(SCENE, "allow")
        assert read(site.address, subject) == "granted"
        token = polled(site.address, None)["token"]
    site.installed.done("erase", subject, "--data-dir", home)
    with site.serving():

        def erased() -> list[Change]:
            with Client(site.address, f"demo-{SERVICE}", verify=PLAIN) as client:
                return [each for each in client.changes(token) if each.concerns(subject)]

        (line,) = wait_for(erased, "line of the erasure")
        assert (line.do, line.reason, line.customer) == ("forget", "erased", None)
        assert line.scene is line.fields is None
