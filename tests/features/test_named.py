"""A service reads customers whom it names, and each is answered as a read of them alone (G168 ff.).

What is expected of each customer comes from `/v1/read` of the same gate.
"""

import io
import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Any

import httpx
import pyarrow as pa
import pytest

from sovereign_client import Client
from tests.features.loopback import PLAIN
from tests.features.reads_page import read as shown
from tests.features.reads_page import reads
from tests.features.served import PATIENCE_S, Person, Site, sovereign, wait_for
from tests.features.test_change_feed import about, polled
from tests.features.test_killed_reads import gate_alone

SCENE, SERVICE = "recommendation", "recommender"
FIELDS = ["age", "job"]
NDJSON, ARROW = "application/x-ndjson", "application/vnd.apache.arrow.stream"
NOBODY = "c99999"
EVIDENCE = "sovereign-evidence"


@pytest.fixture(params=["portal", "gate alone"])
def gate(request: pytest.FixtureRequest, site: Site) -> Iterator[str]:
    """The address of the portal's gate, or of one that is served alone beside it."""
    with ExitStack() as stack:
        alone = request.param == "gate alone"
        yield stack.enter_context(gate_alone(site))[0] if alone else site.address


def asked(
    address: str, path: str, body: Mapping[str, Any], accept: str = NDJSON, by: str = SERVICE
) -> httpx.Response:
    headers = {"Authorization": f"Bearer demo-{by}", "Accept": accept}
    return httpx.post(
        f"{address}{path}", json=body, headers=headers, timeout=PATIENCE_S, verify=PLAIN
    )


def named(address: str, who: list[str], accept: str = NDJSON, **more: Any) -> httpx.Response:
    body = {"scene": SCENE, "ids": who, "fields": FIELDS} | more
    return asked(address, "/v1/named", body, accept)


def rows(answer: httpx.Response) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


def alone(address: str, customer: str) -> dict[str, Any]:
    """The answer of `/v1/read`, in the form of a row."""
    body = {"scene": SCENE, "customer": customer, "fields": FIELDS}
    answer = asked(address, "/v1/read", body, "application/json").json()
    row = {
        "customer": customer,
        "customer.allowed": answer["decision"],
        "customer.reason": answer["reason"],
    }
    for name, each in answer["fields"].items():
        row |= {name: each["value"], f"{name}.view": each["view"]}
    return row


@pytest.fixture
def people(site: Site, newcomers: Iterator[str]) -> list[str]:
    """Who granted, granted one item, withdrew, and said nothing; and an id that nobody has."""
    ids = [next(newcomers) for _ in range(4)]
    for each in ids[:3]:
        site.customer(each).switch(SCENE, "allow")
    site.customer(ids[1]).switch_item(SCENE, "job", "withdraw")
    site.customer(ids[2]).switch(SCENE, "withdraw")
    return [*ids, NOBODY]


def test_g168_each_is_answered_as_a_read_of_them_alone(gate: str, people: list[str]) -> None:
    found = rows(named(gate, people))
    assert found == [alone(gate, each) for each in people]
    reasons = [each["customer.reason"] for each in found]
    assert reasons == ["granted", "field-not-granted", "withdrawn", *["never-granted"] * 2]
    assert found[0]["age.view"] == found[1]["age.view"] == "personal"
    assert not {"personal"} & {found[place][f"{f}.view"] for place in (2, 3, 4) for f in FIELDS}
    with Client(gate, f"demo-{SERVICE}") as client, client.named(SCENE, people, FIELDS) as arriving:
        assert [(row.customer, row.reason, row.views) for row in arriving] == [
            (row["customer"], row["customer.reason"], {f: row[f"{f}.view"] for f in FIELDS})
            for row in found
        ]
    backwards = rows(named(gate, people[::-1]))
    assert backwards == found[::-1], "in the order of the ids"


def test_g168_arrow_and_csv_have_the_same(site: Site, people: list[str]) -> None:
    answer = named(site.address, people, ARROW)
    table = pa.ipc.open_stream(io.BytesIO(answer.content)).read_all()
    assert table.to_pylist() == rows(named(site.address, people))
    assert table.schema.metadata[b"entry"].decode() in answer.headers[EVIDENCE]
    lines = named(site.address, people, "text/csv").text.splitlines()
    assert len(lines) == 1 + len(people)
    assert lines[0].startswith('"customer","customer.allowed","customer.reason","age"')


def test_g170_it_is_one_entry_that_each_of_them_finds(
    gate: str, site: Site, people: list[str]
) -> None:
    before = [reads(site.customer(each)) for each in people[:4]]
    answer = named(gate, people)
    given = [[f for f in FIELDS if row[f"{f}.view"] == "personal"] for row in rows(answer)]
    for who, was, fields in zip(people, before, given, strict=False):
        new = shown("named", SERVICE, SCENE, tuple(fields))
        wait_for(lambda w=who, b=was: reads(site.customer(w)) - b, "read on the page")  # type: ignore[misc] # bound arguments
        assert reads(site.customer(who)) - was == {new: 1}, "also who was refused"
    evidence = answer.headers[EVIDENCE]
    entry = int(evidence.partition("entry=")[2].partition(";")[0])
    again = named(gate, people).headers[EVIDENCE]
    assert int(again.partition("entry=")[2].partition(";")[0]) > entry
    log = evidence.rpartition("/")[2].strip('"')
    replayed = sovereign("replay", log, "--data-dir", site.home, "--json")
    assert replayed.returncode == 0, replayed.stdout + replayed.stderr


SAID = {
    "en": ("asked for you by your customer number", "several"),
    "de": ("mit Ihrer Kundennummer nach Ihnen gefragt", "mehreren"),
    "zh-CN": ("按客户编号查询了您的数据", "多位"),
}


def test_g170_who_is_named_alone_is_not_said_to_be_one_of_several(
    site: Site, newcomers: Iterator[str]
) -> None:
    who = next(newcomers)
    assert len(rows(named(site.address, [who]))) == 1
    for language, (words, others) in SAID.items():
        person = site.visitor(**{"Accept-Language": language})
        assert person.client.post("/login", data={"customer": who}).status_code == 200
        wait_for(lambda p=person, w=words: w in p.page("/customer/reads").html, words)  # type: ignore[misc] # bound arguments
        found = person.page("/customer/reads").html
        assert others not in found[found.index(words) - 200 : found.index(words) + 200]


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "an id twice": ({"ids": ["c00007", "c00008", "c00007"]}, "ids[2] is 'c00007', as ids[0] is"),
    "too many": ({"ids": [f"x{n}" for n in range(10_001)]}, "10001 ids, want 1 to 10000"),
    "nobody": ({"ids": []}, "0 ids, want 1 to 10000"),
    "a number": ({"ids": [7]}, "Expected `str`, got `int` - at `$.ids["),
    "no ids": ({"ids": None}, "Expected `array`, got `null`"),
    "a filter": ({"filter": []}, "unknown field `filter`"),
    "a person": ({"on_behalf_of": "e.mueller"}, "unknown field `on_behalf_of`"),
}


@pytest.mark.parametrize("why", REFUSED)
def test_g169_what_is_not_understood_is_refused_by_name(site: Site, why: str) -> None:
    more, words = REFUSED[why]
    answer = named(site.address, ["c00007"], **more)
    assert (answer.status_code, words in answer.json()["detail"]) == (400, True), answer.text


def test_g169_it_needs_the_shapes_point_and_rows_and_the_purpose(site: Site) -> None:
    body = {"scene": "segmentation", "ids": ["c00007"], "fields": ["age"]}
    tables_only = asked(site.address, "/v1/named", body, by="analytics")
    assert (tables_only.status_code, tables_only.json()["reason"]) == (403, "shape-outside-scene")
    assert asked(site.address, "/v1/read", body | {}, by="analytics").status_code == 400
    other = named(site.address, ["c00007"], purpose="DirectMarketing")
    assert (other.status_code, other.json()["reason"]) == (403, "purpose-differs")
    assert "dpv:ProvidePersonalisedRecommendations" in other.json()["detail"]
    right = named(site.address, ["c00007"], purpose="ProvidePersonalisedRecommendations")
    assert right.status_code == 200
    stranger = asked(site.address, "/v1/named", {**body, "scene": SCENE}, by="analytics")
    assert stranger.json()["reason"] == "unknown-service"
    log = other.json()["read_log"].rsplit("/", 1)[-1]
    assert sovereign("replay", log, "--data-dir", site.home, "--json").returncode == 0


def test_g169_the_client_takes_no_text_for_a_list(site: Site) -> None:
    """Its letters would be ids."""
    with Client(site.address, f"demo-{SERVICE}") as client:
        with pytest.raises(ValueError, match="want a list of 1 to"):
            client.named(SCENE, "c012", ["age"])
        with pytest.raises(ValueError, match="want a list of fields"):
            client.named(SCENE, ["c00007"], "age")


def test_g171_the_feed_says_what_to_forget(site: Site, customer: Person, gate: str) -> None:
    customer.switch(SCENE, "allow")
    token = polled(gate, None)["token"]
    assert rows(named(gate, [customer.subject]))[0]["age.view"] == "personal"
    customer.switch(SCENE, "withdraw")
    changes = polled(gate, token)["changes"]
    assert about(changes, customer.subject) == [("forget", "withdrawn", FIELDS)]
