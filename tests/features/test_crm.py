"""M26, M27: a CRM beside the served telecom company takes interactions in, scores and escalates.

Clauses R1 to R12 and R16 of specs/crm.md. The CRM is started by its commands, as its README says.
"""

import json
import re
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.features.catalogue import feature
from tests.features.crm import PYTHON, Crm, gate_has, interaction, running
from tests.features.served import GIVEN, ROOT, Site, done, sovereign, wait_for

CUSTOMERS = 60
SCENE = "lead-scoring"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, Crm]]:
    folder, home = tmp_path_factory.mktemp("crm"), tmp_path_factory.mktemp("data")
    with running(folder, home, CUSTOMERS) as both:
        yield both


@pytest.fixture(scope="module")
def site(served: tuple[Site, Crm]) -> Site:
    return served[0]


@pytest.fixture(scope="module")
def crm(served: tuple[Site, Crm]) -> Crm:
    return served[1]


BAD: Mapping[str, Callable[[str], bytes]] = {
    "empty": lambda _: b"",
    "blank": lambda _: b"  \n",
    "not JSON": lambda _: b"{",
    "a list": lambda _: b"[]",
    "another member": lambda who: interaction(who, "opened", channel="mail"),
    "another kind": lambda who: interaction(who, "shared"),
    "without a customer": lambda _: b'{"kind": "opened", "at": "2026-12-01T09:30:00Z"}',
    "no customer": lambda _: interaction("", "opened"),
    "a message without a text": lambda who: interaction(who, "message"),
    "a time without an offset": lambda who: interaction(who, "opened", at="2026-12-01T09:30:00"),
    "a form without a version": lambda who: interaction(who, "web-form", phone="+1 202 555 0100"),
    "no UTF-8": lambda who: interaction(who, "message", text="x").replace(b"x", b"\xff"),
}


@feature("M26")
@pytest.mark.parametrize("why", BAD)
def test_r1_empty_and_malformed_interactions_are_400_with_what_was_wanted(
    why: str, crm: Crm
) -> None:
    answer = crm.send(BAD[why](crm.ids[0]), f"msg_bad_{why.replace(' ', '-')}")
    if why == "no UTF-8":  # the signature of a text cannot cover it
        assert answer.status_code == 401
        return
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == 400
    assert "want" in answer.json()["detail"] or "$." in answer.json()["detail"]


UNSIGNED = {
    "another signature": {"webhook_signature": "v1,AAAA"},
    "a signature of no form": {"webhook_signature": "v1"},
    "another id": {"webhook_id": "msg_other"},
    "an old time": {"webhook_timestamp": "1600000000"},
}


@feature("M26")
@pytest.mark.parametrize("why", UNSIGNED)
def test_r2_an_interaction_without_a_valid_signature_is_401(why: str, crm: Crm) -> None:
    answer = crm.send(interaction(crm.ids[0], "opened"), "msg_unsigned", **UNSIGNED[why])
    assert answer.status_code == 401


@feature("M26")
def test_r3_the_same_delivery_counts_once_and_another_body_under_its_id_is_409(crm: Crm) -> None:
    who = crm.ids[1]
    delivery = crm.tell(who, "opened")
    for _ in range(3):
        assert crm.send(interaction(who, "opened"), delivery).status_code == 202
    assert crm.send(interaction(who, "clicked"), delivery).status_code == 409
    crm.worked(delivery, crm.tell(who, "clicked"))
    query = "SELECT mails_opened, links_clicked FROM engagement WHERE subscriber = ?"
    assert crm.rows(query, who) == [(1, 1)]


@feature("M26")
def test_r4_what_was_acknowledged_survives_a_killed_process(crm: Crm) -> None:
    who = crm.ids[2]
    deliveries = [crm.tell(who, "opened") for _ in range(20)]
    crm.stop(signal.SIGKILL)
    crm.start()
    crm.worked(*deliveries)
    opened = crm.rows("SELECT mails_opened FROM engagement WHERE subscriber = ?", who)
    assert opened == [(20,)]


@feature("M26")
def test_r5_what_cannot_be_worked_on_is_listed_with_its_fault(crm: Crm) -> None:
    delivery = crm.tell("9999-NOBODY", "opened")
    crm.worked(delivery)
    assert f"{delivery}  the company has no customer" in crm.run("failures", gate=False)


@feature("M23")
def test_r6_two_writers_of_one_number_lose_nothing_and_the_contract_says_which_counts(
    site: Site, crm: Crm
) -> None:
    who = crm.ids[3]
    first = crm.tell(who, "web-form", phone="+1 202 555 0101", version=0)
    crm.worked(first)
    second = crm.tell(who, "transcript", phone="+1 202 555 0102", version=0)
    crm.worked(second)
    query = "SELECT version, system, value FROM contact_write WHERE customer = ? ORDER BY 1"
    assert crm.rows(query, who) == [
        (1, "contact-registry", "+1 202 555 0101"),
        (2, "care-desk", "+1 202 555 0102"),
    ]
    gate_has(site, "customer-care", "line-and-internet", who, phone="+1 202 555 0101")
    shown = crm.run("conflicts", gate=False)
    assert (
        f"{who}  conflict at version 2: version 1 by contact-registry, who saw 0  counts" in shown
    )
    assert "rule of the contract: contact-registry before care-desk" in shown
    crm.worked(crm.tell(who, "transcript", phone="+1 202 555 0103", version=2))  # saw both
    gate_has(site, "customer-care", "line-and-internet", who, phone="+1 202 555 0103")


def leads(crm: Crm) -> dict[str, list[str]]:
    lines = [re.split(" {2}", each) for each in crm.run("score").splitlines()]
    return {line[0]: line[1:] for line in lines if len(line) == 4}


@feature("M27")
def test_r7_r8_a_lead_is_scored_by_its_interactions_and_the_customer_reads_why(
    site: Site, crm: Crm
) -> None:
    who, other = crm.ids[4], crm.ids[5]
    site.customer(who).switch(SCENE, "allow")
    events = [crm.tell(each, "clicked") for each in (who, other)]
    events += [crm.tell(each, "replied", text="What is the price?") for each in (who, other)]
    crm.worked(*events)
    gate_has(site, "lead-desk", SCENE, who, links_clicked=1, replies=1)
    scored = leads(crm)
    assert scored[who] == ["1.0", "1.00", "-"]  # .3 + .5 + .2
    assert other not in scored  # who did not allow it: nothing was counted
    page = site.customer(who).page("/customer/reads").html
    for part in ("the sales desk answers first", "links_clicked 1", "prices or contracts"):
        assert part in page


@feature("M27")
def test_r9_after_a_withdrawal_no_score_rests_on_a_personal_value(site: Site, crm: Crm) -> None:
    who = crm.ids[6]
    person = site.customer(who)
    person.switch(SCENE, "allow")
    crm.worked(crm.tell(who, "meeting"))
    gate_has(site, "lead-desk", SCENE, who, meetings=1)
    assert leads(crm)[who] == ["0.9", "1.00", "-"]
    person.switch(SCENE, "withdraw")
    assert who not in leads(crm)
    query = "SELECT score, confidence, used FROM lead WHERE customer = ?"
    assert crm.rows(query, who) == [(0.0, 0.0, "{}")]


@feature("M27")
def test_r10_r11_a_risky_answer_waits_for_a_person_and_leaves_once(site: Site, crm: Crm) -> None:
    who = crm.ids[7]
    angry = "I am angry, the bill is wrong. I want a refund."
    case = crm.tell(who, "message", text=angry)
    calm = crm.tell(who, "message", text="Thank you, all is well.")
    sad = crm.tell(who, "message", text="线路又坏了，太差了。")
    crm.worked(case, calm, sad)
    assert json.loads(crm.run("support")) == {"open": 1, "waiting": 1}
    assert json.loads(crm.run("support")) == {"open": 1, "waiting": 1}
    assert crm.rows("SELECT * FROM outbox") == []
    ((number,),) = crm.rows("SELECT proposal FROM support_case WHERE event = ?", case)
    desk = site.steward()
    page, place = desk.page("/desk/reviews"), f"/desk/reviews/{number}/edit"
    assert desk.press(page, place, text="We looked into it.", reason="checked").status == 200
    for _ in range(2):
        assert json.loads(crm.run("support")) == {"open": 1, "sent": 1}
    assert crm.rows("SELECT * FROM outbox") == [(number, who, "We looked into it.")]


RISK = "leaving-risk"


def imported(site: Site, folder: Path, customers: list[str]) -> None:
    rows = folder / "rows.csv"
    rows.write_text(
        "\n".join(["subject,scene,at", *(f"{c},{RISK},{GIVEN}" for c in customers), ""])
    )
    done("import-consents", rows, "--source", "old crm", "--data-dir", site.home)


def trained(site: Site, crm: Crm, model: str) -> tuple[Path, int]:
    """Make a manifest and train on it: the manifest, and how many customers it lists."""
    words = ("manifest", "make", model, "--scene", RISK, "--data-dir", site.home)
    manifest = site.home / done(*words).partition(":")[0]
    said = crm.run("train", str(manifest))
    found = re.fullmatch(rf"{model}: (\d+) listed, trained on (\d+)\n", said)
    assert found is not None, said
    assert int(found[2]) < int(found[1])
    return manifest, int(found[1])


@feature("M7", "M14")
def test_r22_r23_a_models_measured_accuracy_freezes_who_asked_and_a_veto_leaves_the_next_model(
    site: Site, crm: Crm, tmp_path: Path
) -> None:
    strict, lenient, unconcerned, vetoing = crm.ids[20:24]
    imported(site, tmp_path, crm.ids)
    vkey = done("keygen", "model-monitor", tmp_path).strip()
    done("steward", "register", vkey, "--data-dir", site.home)
    _, before = trained(site, crm, "churn-1")
    assert before == CUSTOMERS
    for customer, figure in ((strict, "92"), (lenient, "10")):
        person, place = site.customer(customer), f"/customer/scenes/{RISK}"
        set_ = person.press(person.page(place), f"{place}/conditions/0/set", figure=figure)
        assert set_.status == 200

    said = crm.run("evaluate", "--key", str(tmp_path / "model-monitor.key"))
    accuracy = float(said.split()[1])
    assert 10 < accuracy < 92

    def reason(customer: str) -> str:
        return str(site.read("care-team", RISK, customer, "tenure")["reason"])

    assert {c: reason(c) for c in crm.ids if reason(c) != "granted"} == {strict: "frozen"}
    assert [reason(c) for c in (lenient, unconcerned)] == ["granted", "granted"]
    site.customer(vetoing).switch(RISK, "withdraw")
    affected = sovereign("manifest", "affected", "--data-dir", site.home, "--json")
    assert [each["model"] for each in json.loads(affected.stdout)] == ["churn-1"]
    second, after = trained(site, crm, "churn-2")
    assert after == before - 2  # who withdrew, and whose reads are frozen
    assert "no veto" in done("manifest", "verify", second, "--data-dir", site.home)
    affected = sovereign("manifest", "affected", "--data-dir", site.home, "--json")
    assert [each["model"] for each in json.loads(affected.stdout)] == ["churn-1"]


@feature("M9", "M34")
def test_r24_trends_and_segments_are_printed_with_intervals_and_true_errors(
    site: Site, crm: Crm
) -> None:
    asked = {"scene": "contact-statistics", "series": "contacts"}

    def released() -> bool:
        return bool(site.ask("capacity-office", "/v1/series", asked).json()["periods"])

    wait_for(released, "release of the series")
    lines = crm.run("statistics").splitlines()
    month = r"2025-\d\d +-?\d+  -?\d+ to -?\d+  true \d+  error [\d.]+%"
    assert sum(re.fullmatch(month, each) is not None for each in lines) == 12
    assert re.search(r"^trend \S+ a month, \S+ to \S+, true \S+$", "\n".join(lines), re.MULTILINE)
    assert re.search(r"^\d+ rows, [\d.]+% synthetic; \d+ withheld$", "\n".join(lines), re.MULTILINE)
    true = [float(found[1]) for each in lines if (found := re.search(r"true ([\d.]+)%", each))]
    assert sum(true) == pytest.approx(100, abs=1)


@feature("M27")
def test_r12_every_read_of_the_crm_can_be_replayed(site: Site, crm: Crm) -> None:
    crm.run("score")
    ran = sovereign("replay", "--data-dir", site.home)
    assert ran.returncode == 0, ran.stdout


@feature("M27")
def test_r16_a_day_is_played_and_every_claim_is_checked() -> None:
    ran = subprocess.run(
        [*PYTHON, "day", "--customers", "12"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "BROKEN" not in ran.stdout
    for each in ("sovereign replay", "sovereign verify", "0 errors", "every approved draft"):
        assert re.search(rf"^holds .*{each}", ran.stdout, re.MULTILINE), each


@feature("M10")
def test_r25_withdrawals_under_load_fail_nothing_and_no_personal_value_follows_a_receipt() -> None:
    command = [*PYTHON, "load", "--rate", "4", "--seconds", "3"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert re.search(r"^12 withdrawals in ", ran.stdout, re.MULTILINE)
    for each in ("failures: 0", "schema changes: 0", "personal values after a receipt: 0"):
        assert each in ran.stdout.splitlines()
