"""Another company, from an empty folder, as it is served: specs/company.md, C1 to C8."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from time import monotonic

import httpx
import pytest

from tests.features.served import Person, Site, done, sovereign, views, wait_for
from tests.steward.change.receiver import Receiver, listening

TELCO = Path(__file__).parents[2] / "examples" / "telco"
ORIGIN, SCENE, FIELDS = "telco.example/consent", "statistics", ["contract", "tenure"]
QUICK = {"refits": 1, "cases": 1, "delivery": 1, "publication": 1}
CONSENTING = 52  # a first release wants the consents of 50
MAX_COMMANDS, MAX_LINES = 6, 40


@dataclass(frozen=True, slots=True)
class Adopted:
    """`typed`: every line that was typed, commands and settings, before a customer signs in.
    `verifying`: commands typed afterwards. `began`: on the monotonic clock, in seconds."""

    site: Site
    typed: list[str]
    verifying: list[str]
    began: float
    customers: list[str]
    person: Person  # the first of them, signed in
    receiver: Receiver


@pytest.fixture(scope="module")
def adopted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Adopted]:
    began, folder = monotonic(), tmp_path_factory.mktemp("telco")
    company, data = folder / "company", folder / "data"
    data.mkdir()
    rows, book = TELCO / "customers.csv", TELCO / "codebook.json"
    commands = [
        f"init {company} --from {rows} --codebook {book} --origin {ORIGIN}",
        f"check {company}",
    ]
    for line in commands:
        done(*line.split())
    commands.append(f"plan --company {company} --data-dir {data}")
    planned = sovereign(*commands[-1].split())
    assert (planned.returncode, "statistics  new" in planned.stdout) == (1, True), planned.stderr
    commands.append(f"serve --company {company} --trial --data-dir {data}")
    typed = [f"mkdir {data}", *(f"sovereign {line}" for line in commands)]
    served = ("--company", str(company), "--trial")
    settings = {"SOVEREIGN_JOB_EVERY_S": json.dumps(QUICK)}
    site = Site(data, folder / "server.log", settings=settings, words=served)
    ids = [line.partition(",")[0] for line in rows.read_text("utf-8").splitlines()]
    with listening() as receiver, site.serving():
        hook = f'[webhook.crm]\nroles = ["account-manager"]\nurl = "{receiver.url}"\n'
        (data / "steward.toml").write_text(hook)
        typed += hook.splitlines()
        customers = ids[1 : 1 + CONSENTING]
        for subject in reversed(customers):
            person = site.customer(subject)
            person.switch(SCENE, "allow")
        yield Adopted(site, typed, [], began, customers, person, receiver)


def test_c8_a_trial_says_so_and_serves_this_machine_only(
    adopted: Adopted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = adopted.site.visitor().page("/").html
    assert "anybody can sign in here as any customer" in page
    monkeypatch.setenv("SOVEREIGN_HOST", "0.0.0.0")
    refused = sovereign("serve", *adopted.site.words, "--data-dir", tmp_path)
    assert (refused.returncode, "this machine only" in refused.stderr) == (2, True)
    monkeypatch.setenv("SOVEREIGN_DEMO", "true")
    company = ("--company", adopted.site.words[1])
    for command in (("serve", *company), ("gate", "serve")):
        refused = sovereign(*command, "--data-dir", tmp_path)
        assert (refused.returncode, "this machine only" in refused.stderr) == (2, True)


def test_c8_a_trial_says_that_nobody_has_a_number_that_is_unknown(adopted: Adopted) -> None:
    """The company that `init` proposes has no greeting, so no name is read."""
    visitor = adopted.site.visitor()
    answer = visitor.client.post("/login", data={"customer": "0000-NOBODY"})
    assert (answer.status_code, "Nobody has this customer number" in answer.text) == (401, True)
    assert visitor.client.get("/customer", follow_redirects=False).status_code == 303
    known = visitor.client.post("/login", data={"customer": adopted.customers[0]})
    assert known.status_code == 200


def test_the_developers_page_shows_a_call_that_is_answered(adopted: Adopted) -> None:
    """Not the demonstration's: an address, a token, a scene and a customer of this company."""
    page = adopted.site.visitor().page("/docs").html
    body = re.search(r"-d &#39;(.*)&#39;|-d '(.*)'</pre>", page)
    token = re.search(r"Bearer ([\w-]+)", page)
    assert body is not None
    assert token is not None
    port = adopted.site.address.rpartition(":")[2]
    assert f":{port}/v1/read" in page
    answer = httpx.post(
        f"{adopted.site.address}/v1/read",
        content=unescape(body[1] or body[2]),
        headers={"Authorization": f"Bearer {token[1]}", "Content-Type": "application/json"},
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["reason"] not in {"unknown-scene", "service-outside-scene"}


def test_a_service_reads_a_point_rows_and_a_table(adopted: Adopted) -> None:
    subject = adopted.customers[0]
    answer = adopted.site.read("analytics", SCENE, subject, *FIELDS)
    assert views(answer) == dict.fromkeys(FIELDS, "personal")
    assert answer["fields"]["contract"]["value"] == "Month-to-month"
    assert answer["fields"]["tenure"]["value"] == 1
    for path in ("/v1/rows", "/v1/table"):
        body = {"scene": SCENE, "fields": FIELDS}
        read = adopted.site.ask("analytics", path, body, accept="application/x-ndjson")
        assert read.status_code == 200, read.text
        rows = [json.loads(line) for line in read.text.splitlines()]
        assert sum(row["contract.view"] == "personal" for row in rows) == CONSENTING


def test_a_release_is_fitted_and_answers_for_who_withdraws(adopted: Adopted) -> None:
    address = f"{adopted.site.address}/releases/{SCENE}.json"
    wait_for(lambda: httpx.get(address).status_code == 200, "release")
    subject = adopted.customers[1]
    adopted.site.customer(subject).switch(SCENE, "withdraw")
    answer = adopted.site.read("analytics", SCENE, subject, *FIELDS)
    assert views(answer) == dict.fromkeys(FIELDS, "synthetic")


def test_a_withdrawal_sends_its_webhook(adopted: Adopted) -> None:
    adopted.site.customer(adopted.customers[2]).switch(SCENE, "withdraw")
    wait_for(lambda: adopted.receiver.heard, "webhook")
    event = json.loads(adopted.receiver.bodies()[0])
    assert (event["data"]["scene"], event["data"]["kind"]) == (SCENE, "withdrawal")


def test_what_was_recorded_verifies(adopted: Adopted, tmp_path: Path) -> None:
    home, person = adopted.site.home, adopted.person
    receipt = person.receipt(person.receipts()[0], tmp_path)
    printed = done("verify", receipt, "--key", home / "keys" / "consent.vkey")
    assert "VERIFIED" in printed
    assert ORIGIN in printed
    wait_for((home / "log" / "consent" / "checkpoint").is_file, "published log")
    policy = home / "consent.policy"
    every: list[tuple[str | Path, ...]] = [
        ("audit", home / "log" / "consent", "--policy", policy, "--opaque"),
        ("replay", "--data-dir", home),
        ("fsck", "--data-dir", home),
    ]
    for words in every:
        done(*words)
    adopted.verifying.extend(" ".join(map(str, each)) for each in (("verify", receipt), *every))


def test_c7_few_commands_few_lines_and_few_minutes_are_needed(
    adopted: Adopted, capsys: pytest.CaptureFixture[str]
) -> None:
    """Last in this file, so that it counts what the others did. It prints the figures: pytest
    tests/adopt/test_telco.py, in one process."""
    minutes = (monotonic() - adopted.began) / 60
    commands = [line for line in adopted.typed if line.split()[0] in {"mkdir", "sovereign"}]
    with capsys.disabled():
        print(  # noqa: T201 - the figures
            f"\nadopted: {len(commands)} commands and {len(adopted.typed)} lines typed until a "
            f"customer signs in; {len(adopted.verifying)} more commands to verify all of it; "
            f"{minutes:.1f} minutes in all"
        )
    assert len(commands) <= MAX_COMMANDS
    assert len(adopted.typed) + len(adopted.verifying) <= MAX_LINES
