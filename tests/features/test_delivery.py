"""What became of each answer is on the page of reads, in the archive and in own-reads (G150)."""

import json
import re
import signal
import socket
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import copy
from typing import Any

import duckdb
import httpx
import pytest

from tests.features.conftest import _run, prepared
from tests.features.served import PATIENCE_S, Site, done, sovereign, wait_for
from tests.features.test_killed_reads import gate_alone
from tests.features.test_legal_bases import FIELDS, INTEREST, SERVICE, folder

__all__ = ["folder"]  # the fixture

MORE, LONG = 45, 200  # times as many customers, of so long numbers: an answer of 5 MB
NAMED = 4_500  # of them named in one request: a body of 0.95 MB
BEYOND = 9_000  # a row after 2.5 MB: more than the operating system holds for a client
SMALL = [(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)]
ME, NDJSON = "c00007", "application/x-ndjson"
ROW = re.compile(r"<li>\s*<p class=\"did\">.*?</li>", re.DOTALL)
MARK = re.compile(r"<span class=\"delivery (\w+)\">([^<]*)</span>")
EVERY = '{"publication": 0.5, "anchoring": 0.5}'
ENGLISH = {
    "delivered": "Delivered",
    "cut": "Cut off",
    "unknown": "Unknown whether it was delivered",
}
CHINESE = {"delivered": "已送达", "cut": "已中断", "unknown": "是否送达未知"}


@pytest.fixture(scope="module")
def site(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A served bank with many customers, whose silence allows a read."""
    home = tmp_path_factory.mktemp("delivery") / "data"
    home.mkdir()
    copy(prepared(_run(tmp_path_factory)) / "customers.duckdb", home)
    with duckdb.connect(home / "customers.duckdb") as source:
        source.execute(
            f"INSERT INTO customer SELECT c.* REPLACE (c.id || format('x{{:0{LONG}d}}', n) AS id)"
            f" FROM customer c, range({MORE}) more(n)"
        )
    settings = {"SOVEREIGN_JOB_EVERY_S": EVERY}
    words = ("--company", str(folder))
    with Site(home, home.parent / "log", settings=settings, words=words).serving() as served:
        yield served


@contextmanager
def stream(
    address: str, path: str = "/v1/rows", token: str = f"demo-{SERVICE}", **more: Any
) -> Iterator[tuple[Iterator[str], str]]:
    """The lines of rows of everybody, which leave as slowly as they are taken."""
    headers = {"Authorization": f"Bearer {token}", "Accept": NDJSON}
    headers["Accept-Encoding"] = "identity"  # compressed, the operating system takes it whole
    transport = httpx.HTTPTransport(socket_options=SMALL)
    with httpx.Client(
        base_url=address, headers=headers, timeout=PATIENCE_S, transport=transport
    ) as client:
        body = {"scene": INTEREST, "fields": [*FIELDS]} | more
        with client.stream("POST", path, json=body) as answer:
            assert answer.status_code == 200, answer.read()
            lines = answer.iter_lines()
            yield lines, next(lines)


def named(lines: Iterator[str], first: str) -> list[str]:
    return [json.loads(each)["customer"] for each in (first, *lines)]


def marks(site: Site, who: str, language: str = "en") -> list[str]:
    """How the reads of the service are marked on a customer's page, newest first."""
    person = site.visitor(**{"Accept-Language": language})
    assert person.client.post("/login", data={"customer": who}).status_code == 200
    page, known = person.page("/customer/reads").plain, CHINESE if "zh" in language else ENGLISH
    found = [MARK.findall(row) for row in ROW.findall(page)]
    assert all(len(each) == 1 and known[each[0][0]] == each[0][1] for each in found), found
    mine = [row for row in ROW.findall(page) if "<strong>Recommend" in row or "推荐" in row]
    return [MARK.findall(row)[0][0] for row in mine]


def newest(site: Site, who: str, wanted: str) -> None:
    """Wait until the newest read is marked so: the end of an answer is noted after it."""
    wait_for(lambda: marks(site, who)[:1] == [wanted], f"{wanted} on the page of {who}")


def whole(site: Site) -> list[str]:
    with stream(site.address) as (lines, first):
        return named(lines, first)


def test_g150_what_arrived_whole_is_delivered_in_every_shape(site: Site) -> None:
    context = {"scene": INTEREST, "fields": [*FIELDS]}
    asked = {
        "subject": {"type": "service", "id": SERVICE},
        "action": {"name": "read"},
        "context": context,
    }
    me = {"resource": {"type": "customer", "id": ME}}
    requests: list[tuple[str, dict[str, Any]]] = [
        ("/v1/read", {**context, "customer": ME}),
        ("/v1/read", {**context, "customer": ME, "purpose": "dpv:Other"}),  # refused
        ("/access/v1/evaluation", asked | me),
        ("/access/v1/evaluations", asked | {"evaluations": [me, me]}),
        ("/access/v1/search/action", {**asked, **me}),
    ]
    for number, (path, body) in enumerate(requests, 1):
        answer = site.ask(SERVICE, path, body)
        assert answer.status_code in {200, 403}, answer.text
        shown = number + (path == "/access/v1/evaluations") + (number == len(requests))
        wait_for(lambda n=shown: marks(site, ME) == ["delivered"] * n, f"{shown} delivered")  # type: ignore[misc] # a bound argument
    whole(site)
    newest(site, ME, "delivered")
    assert marks(site, ME, "zh-CN") == marks(site, ME)


def test_g150_a_row_that_was_taken_out_while_the_answer_left_is_cut(site: Site) -> None:
    everybody = whole(site)
    early, last = everybody[BEYOND], everybody[-1]
    for who in (early, last):
        newest(site, who, "delivered")
    with stream(site.address) as (lines, first):
        for who in (early, last):
            site.customer(who).switch(INTEREST, "withdraw")
        others = named(lines, first)
    for who in (early, last):
        assert who not in others, f"row {others.index(who)} of {len(others)}: after the receipt"
        assert marks(site, who)[0] == "cut"
    newest(site, others[-1], "delivered")


def test_g172_what_a_named_customer_no_longer_allows_is_withheld_and_cut(
    site: Site, tmp_path: Path
) -> None:
    people = whole(site)[-NAMED:]
    with stream(site.address, "/v1/named", ids=people) as (lines, first):
        site.customer(people[-1]).switch(INTEREST, "withdraw")
        rows = [json.loads(each) for each in (first, *lines)]
    assert [row["customer"] for row in rows] == people
    last = rows[-1]
    assert {last[f"{name}.view"] for name in FIELDS} == {"withheld"}, "after the receipt"
    assert not any(last[name] for name in FIELDS)
    assert (last["customer.allowed"], last["customer.reason"]) == (False, "objected")
    newest(site, people[-1], "cut")
    newest(site, people[-2], "delivered")
    keys = tmp_path / "keys.json"
    keys.write_bytes(site.customer(people[-2]).client.get("/customer/reads/keys").content)

    def published() -> list[Any]:
        found = _complete(site, keys, tmp_path, ()) or []
        return [each for each in found if each["action"] == "named"]

    (own,) = wait_for(published, "publication of the read")
    assert own["views"] == dict.fromkeys(FIELDS, "personal"), "found without the page (G170)"


@pytest.mark.parametrize("path", ["/v1/rows", "/v1/named"])
def test_g182_a_key_that_is_revoked_receives_no_more_of_an_answer(site: Site, path: str) -> None:
    everybody = whole(site)
    more = {"ids": everybody[-NAMED:]} if path == "/v1/named" else {}
    key = done("keys", "issue", SERVICE, "--data-dir", site.home).strip()
    received = list[str]()
    with stream(site.address, path, key, **more) as (lines, _):
        done("keys", "revoke", key.split("_")[2], "--data-dir", site.home)
        with pytest.raises(httpx.RemoteProtocolError):
            received.extend(lines)
    assert len(received) + 1 < len(more.get("ids", everybody))
    newest(site, everybody[-1], "cut")


def hang_up(site: Site) -> str:
    """Take one row of an answer and no more: whose it was."""
    with stream(site.address) as (_, first):
        found: str = json.loads(first)["customer"]
    return found


def test_g150_an_answer_whose_client_hangs_up_is_cut(site: Site) -> None:
    for who in (hang_up(site), ME):
        newest(site, who, "cut")


def test_g150_of_an_answer_of_a_killed_gate_nobody_knows_the_end(
    site: Site, tmp_path: Path
) -> None:
    hang_up(site)
    newest(site, ME, "cut")
    before = Counter(marks(site, ME))  # of two gates' reads in one second, either is the newest

    def new(**wanted: int) -> None:
        wait_for(lambda: Counter(marks(site, ME)) - before == Counter(wanted), f"new: {wanted}")

    with gate_alone(site) as (address, process):
        body = {"scene": INTEREST, "customer": ME, "fields": [*FIELDS]}
        headers = {"Authorization": f"Bearer demo-{SERVICE}"}
        answer = httpx.post(f"{address}/v1/read", headers=headers, json=body, timeout=PATIENCE_S)
        assert answer.status_code == 200, answer.text
        new(delivered=1)
        with stream(address) as (lines, first):
            process.send_signal(signal.SIGKILL)
            process.wait()
            with pytest.raises(httpx.TransportError):
                named(lines, first)
    new(delivered=1, unknown=1)
    assert_everywhere(site, tmp_path)


def assert_everywhere(site: Site, tmp_path: Path) -> None:
    """The archive and the customer's own program say what the page says."""
    shown = Counter(marks(site, ME))
    assert {*shown} == {"delivered", "cut", "unknown"}
    done("export-customer", ME, tmp_path / "archive.zip", "--data-dir", site.home)
    with zipfile.ZipFile(tmp_path / "archive.zip") as file:
        listed = Path(file.extract("reads.json", tmp_path))
    archived = [each for each in json.loads(listed.read_text()) if each["service"] == SERVICE]
    assert Counter(each["delivery"] for each in archived) == shown
    keys = tmp_path / "keys.json"
    keys.write_bytes(site.customer(ME).client.get("/customer/reads/keys").content)
    assert _own(site, keys, tmp_path, "--listed", listed) == shown
    assert {*_own(site, keys, tmp_path)} == {"unknown"}, "the public log does not say"


def _own(site: Site, keys: Path, folder: Path, *more: str | Path) -> Counter[str]:
    own = wait_for(
        lambda: _complete(site, keys, folder, more), "publication of the killed gate's log"
    )
    return Counter(each["delivery"] for each in own if each["service"] == SERVICE)


def _complete(
    site: Site, keys: Path, folder: Path, more: tuple[str | Path, ...]
) -> list[dict[str, Any]] | None:
    """What `own-reads` finds, if every log that the consent log names is published."""
    done("named-files", folder / "named", "--sets", "--data-dir", site.home)
    words: list[str | Path] = ["own-reads", keys, *sorted(site.home.glob("log/reads-*"))]
    words += ["--consent", site.home / "log" / "consent", "--policy", site.home / "consent.policy"]
    ran = sovereign(*words, "--named", folder / "named", "--json", *more)
    found = json.loads(ran.stdout) if ran.stdout else None
    return None if not found or found["absent"] or found["incomplete"] else found["own"]
