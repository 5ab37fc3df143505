"""Clauses G137 to G140 of specs/gate.md: a company some of whose uses need no consent, served."""

import json
import re
from collections.abc import Iterator
from hashlib import sha256
from html import unescape
from pathlib import Path
from shutil import copy, copytree
from typing import Any

import pytest

from tests.bank import BANK
from tests.features.catalogue import feature
from tests.features.conftest import _run, prepared
from tests.features.served import Site, done, sovereign, views

INTEREST, OBLIGATION, CONSENT = "service-news", "tax-records", "offers"
SERVICE, FIELDS = "recommender", ("age", "job")
LATER, LATER_FIELD = "renewal-notes", "balance"  # an item that came with version 1.1.0
SCENES = {
    LATER: ("renewal-forecast", "legitimate-interest"),
    INTEREST: ("recommendation", "legitimate-interest"),
    OBLIGATION: ("contract-service", "legal-obligation"),
    CONSENT: ("lead-scoring", "consent"),
}
NDJSON, LEAVE = "application/x-ndjson", "/customer/leave/everything"


def contract(name: str, basis: str, theirs: str) -> str:
    text = (BANK / "scenes" / f"{theirs}.odcs.yaml").read_text("utf-8")
    text = re.sub(r"^id: .*", f"id: {name}", text, count=1, flags=re.MULTILINE)
    text = re.sub(r"legalBasis, value: \w+", f"legalBasis, value: {basis}", text)
    text = re.sub(r".*property: population.*\n", "", text)
    if name == LATER:
        text = re.sub(r"version: 1\.0\.\d", "version: 1.1.0", text)
        text = re.sub(
            rf"(name: {LATER_FIELD}\n.*\n.*\n)",
            r"\1          - {property: since, value: 1.1.0}\n",
            text,
        )
    return text if basis == "consent" else re.sub(r".*longestConsentDays.*\n", "", text)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("bases") / "company"
    copytree(BANK / "sources", made / "sources")
    (made / "scenes").mkdir()
    for name, (theirs, basis) in SCENES.items():
        text = contract(name, basis, theirs)
        (made / "scenes" / f"{name}.odcs.yaml").write_text(text, "utf-8")
    (made / "policy").mkdir()
    rules = 'permit (principal, action == Action::"read", resource);\n'
    (made / "policy" / "organisation.cedar").write_text(rules)
    roles = f'[roles]\nglobal_privacy_control = ["{INTEREST}"]\n'
    bank = (BANK / "company.toml").read_text("utf-8").partition("[roles]")[0]
    said = re.sub(r"^origin.*", 'origin = "bases.example/consent"', bank, flags=re.MULTILINE)
    (made / "company.toml").write_text(said + roles, "utf-8")
    done("check", made)
    return made


@pytest.fixture(scope="module")
def site(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    home = tmp_path_factory.mktemp("bases-data") / "data"
    home.mkdir()
    copy(prepared(_run(tmp_path_factory)) / "customers.duckdb", home)
    words = ("--company", str(folder))
    with Site(home, home.parent / "server.log", words=words).serving() as served:
        yield served


def read(site: Site, who: str) -> dict[str, Any]:
    return site.read(SERVICE, INTEREST, who, *FIELDS)


def personal(site: Site, who: str) -> bool:
    return set(views(read(site, who)).values()) == {"personal"}


def rows(site: Site) -> set[str]:
    answer = site.ask(SERVICE, "/v1/rows", {"scene": INTEREST, "fields": [*FIELDS]}, NDJSON)
    assert answer.status_code == 200, answer.text
    return {json.loads(line)["customer"] for line in answer.text.splitlines()}


@feature("M33")
def test_g137_it_is_on_until_the_customer_objects_and_says_so(site: Site) -> None:
    answer = read(site, "c00010")
    assert answer["reason"] == "legitimate-interest"
    assert set(views(answer).values()) == {"personal"}
    assert answer["determined_by"] is None, "silence rests on no instruction"
    person = site.customer("c00010")
    page = person.page("/customer").html
    assert "it is on until you object" in page
    assert ">I object<" in page

    answered = person.switch(INTEREST, "withdraw")
    assert "Recorded: you object." in answered.html
    after = read(site, "c00010")
    assert after["reason"] == "objected"
    assert "personal" not in views(after).values()
    assert after["determined_by"] == person.receipts()[0]
    assert "Objected:" in person.page("/customer/history").html
    assert "You object" in person.page("/customer/map").html

    person.switch(INTEREST, "allow")
    again = read(site, "c00010")
    assert again["reason"] == "legitimate-interest"
    assert again["determined_by"] == person.receipts()[0]
    assert "No objection:" in person.page("/customer/history").html


def test_g148_a_deletion_at_the_source_ends_silence_too(site: Site) -> None:
    assert personal(site, "c00023")
    done("customers", "deleted", "c00023", "--data-dir", site.home)
    after = read(site, "c00023")
    assert (after["reason"], "personal" in views(after).values()) == ("objected", False)
    assert "c00023" not in rows(site)
    person = site.customer("c00023")
    assert after["determined_by"] == person.receipts()[0]
    assert 'aria-pressed="true">I object</button>' in person.page("/customer").html
    assert "0 differ" in done("replay", "--data-dir", site.home)


@feature("M33")
def test_g137_an_objection_to_one_item_leaves_the_others(site: Site) -> None:
    person = site.customer("c00011")
    answered = person.switch_item(INTEREST, "age", "withdraw")
    assert "You object to 1 of 10 details." in answered.html
    assert "You object in part" in person.page("/customer").html
    answer = read(site, "c00011")
    assert {name: each == "personal" for name, each in views(answer).items()} == {
        "age": False,
        "job": True,
    }
    person.switch_item(INTEREST, "age", "allow")
    assert personal(site, "c00011")


@feature("M33")
def test_g137_the_receipt_of_an_objection_verifies_like_any_other(
    site: Site, tmp_path: Path
) -> None:
    person = site.customer("c00012")
    person.switch(INTEREST, "withdraw")
    receipt = person.receipt(person.receipts()[0], tmp_path)
    told = done("verify", receipt, "--policy", site.home / "consent.policy")
    assert "withdrawn" in told
    record = json.loads(done("consent-record", receipt, "--data-dir", site.home))
    page = person.client.get(f"/customer/receipts/{person.receipts()[0]}/jsonld")
    for made in (record, page.json()):
        assert "dpv:LegitimateInterestObjected" in made["dpv:hasStatus"]["@type"]
        assert made["dct:source"]["dct:title"] == f"receipt-{person.receipts()[0]}.tlog-proof"


@feature("M33")
@pytest.mark.parametrize(
    ("scene", "basis"),
    [(INTEREST, "dpv:LegitimateInterest"), (OBLIGATION, "dpv:LegalObligation")],
)
def test_the_record_of_a_use_names_its_legal_basis(site: Site, scene: str, basis: str) -> None:
    made = json.loads(done("processing-record", scene, "--data-dir", site.home))
    shown = site.customer("c00012").client.get(f"/customer/scenes/{scene}/jsonld").json()
    for each in (made, shown):
        assert each["dpv:hasProcess"]["dpv:hasLegalBasis"][0] == {"@id": basis}
        assert "c00012" not in json.dumps(each)


@feature("M33")
def test_a_use_on_consent_has_no_record_but_those_of_receipts(site: Site) -> None:
    refused = sovereign("processing-record", CONSENT, "--data-dir", site.home)
    assert (refused.returncode, "on another basis than consent" in refused.stderr) == (2, True)
    client = site.customer("c00012").client
    assert client.get(f"/customer/scenes/{CONSENT}/jsonld").status_code == 404
    assert site.visitor().client.get(f"/customer/scenes/{INTEREST}/jsonld").url.path != (
        f"/customer/scenes/{INTEREST}/jsonld"
    )


def test_g137_rows_have_everybody_but_those_who_object(site: Site) -> None:
    before = rows(site)
    assert {"c00013", "c00014"} <= before
    site.customer("c00013").switch(INTEREST, "withdraw")
    after = rows(site)
    assert before - after == {"c00013"}


def test_g137_a_browsers_signal_is_an_objection(site: Site) -> None:
    assert personal(site, "c00015")
    visitor = site.visitor(**{"Sec-GPC": "1"})
    assert visitor.client.post("/login", data={"customer": "c00015"}).status_code == 200
    assert read(site, "c00015")["reason"] == "objected"


def test_g138_of_an_id_without_a_key_nothing_is_read(site: Site) -> None:
    assert read(site, "c99999")["reason"] == "never-granted"
    site.customer("c00016").switch(INTEREST, "withdraw")
    done("erase", "c00016", "--data-dir", site.home)
    assert not personal(site, "c00016"), "whose objection was erased with them"
    assert "c00016" not in rows(site)
    done("erase", "c00017", "--data-dir", site.home)
    assert not personal(site, "c00017"), "who never said anything"
    assert "c00017" not in rows(site)
    listed = site.customer("c00017").page("/customer/reads").html
    assert "there is no key to find them" in listed, "nobody can say that none was made"


@feature("M33")
def test_g138_who_was_erased_and_comes_back_is_not_silent(site: Site) -> None:
    """Their objection was erased with everything else, so that only a yes counts from then on."""
    who = "c00022"
    site.customer(who).switch(INTEREST, "withdraw")
    done("erase", who, "--data-dir", site.home)
    person = site.customer(who)
    page = person.page("/customer").html
    assert "This is off for you" in page
    assert "You object" not in person.page("/customer/map").html
    person.switch(CONSENT, "allow")  # they are a customer with a key again
    assert read(site, who)["reason"] == "never-granted"
    assert who not in rows(site)
    assert "This is off for you" in person.page("/customer").html

    answered = person.switch(INTEREST, "withdraw")
    assert "Recorded: you object." in answered.html, "an objection can still be made"
    assert read(site, who)["reason"] == "objected"
    person.switch(INTEREST, "allow")
    assert personal(site, who)
    assert who in rows(site)


def test_g138_it_holds_after_a_restart(folder: Path, tmp_path: Path, site: Site) -> None:
    home = tmp_path / "data"
    home.mkdir()
    copy(site.home / "customers.duckdb", home)
    own = Site(home, tmp_path / "server.log", words=("--company", str(folder)))
    with own.serving():
        person = own.customer("c00023")
        person.switch(INTEREST, "withdraw")
        done("erase", "c00023", "--data-dir", home)
        own.customer("c00023").switch(CONSENT, "allow")
    for _ in range(2):  # the second start reads the snapshot that the first one left
        with own.serving():
            assert not personal(own, "c00023")
            assert "c00023" not in rows(own)
            log = read(own, "c00023")["read_log"].rsplit("/", 1)[-1]
            replayed = sovereign("replay", log, "--data-dir", home, "--json")
            assert replayed.returncode == 0, replayed.stdout


def test_g137_whoever_asks_to_leave_objects(site: Site) -> None:
    person = site.customer("c00021")
    assert personal(site, "c00021")
    asked = person.press(person.page(LEAVE), LEAVE, word="erase")
    assert asked.status == 200, asked.html
    assert read(site, "c00021")["reason"] == "objected"


def test_g140_rows_and_tables_have_a_later_item_of_those_alone_who_said_yes(site: Site) -> None:
    """Silence covers the items of the first version, and no later one."""
    service, who = "risk-desk", "c00027"

    def people(*fields: str) -> int:
        answer = site.ask(service, "/v1/rows", {"scene": LATER, "fields": [*fields]}, NDJSON)
        table = site.ask(service, "/v1/table", {"scene": LATER, "fields": [*fields]}, NDJSON)
        assert (answer.status_code, table.status_code) == (200, 200), answer.text
        personal = table.text.count(f'"{fields[-1]}.view":"personal"')
        assert personal == len(answer.text.splitlines())
        return personal

    assert people("age") > 250
    assert people("age", LATER_FIELD) == 0
    assert people(LATER_FIELD) == 0
    person = site.customer(who)
    page = person.page("/customer").html
    assert "New ones stay off until you press" in page
    assert "You object in part" not in page
    person.switch(LATER, "withdraw")
    person.switch(LATER, "allow")
    answer = site.read(service, LATER, who, LATER_FIELD)
    assert views(answer) == {LATER_FIELD: "personal"}
    assert people("age", LATER_FIELD) == 1
    logs = {answer["read_log"].rsplit("/", 1)[-1]}
    replayed = sovereign("replay", *logs, "--data-dir", site.home, "--json")
    assert replayed.returncode == 0, replayed.stdout


@feature("M33")
def test_g139_a_legal_obligation_is_shown_and_locked(site: Site) -> None:
    answer = site.read("statement-service", OBLIGATION, "c00018", "name")
    assert (answer["reason"], answer["determined_by"]) == ("legal-obligation", None)
    person = site.customer("c00018")
    page = person.page(f"/customer/scenes/{OBLIGATION}")
    assert "The law requires this, so it is always on." in page.html
    assert "A legal obligation" in page.html
    assert f"/customer/scenes/{OBLIGATION}/withdraw" not in page.html


def test_g137_the_instruction_names_the_words_that_stand_on_the_page(site: Site) -> None:
    person = site.customer("c00020")
    page = person.page(f"/customer/scenes/{INTEREST}").plain
    words: dict[str, Any] = {"locale": "en", "scene": INTEREST}
    words |= {"items": {}, "services": [], "triggers": []}
    for name, text in re.findall(r'data-word="([^"]+)"[^>]*>([^<]*)<', page):
        part, _, item = name.partition(".")
        if item:
            words[part][item] = unescape(text)
        elif isinstance(words.get(part), list):
            words[part].append(unescape(text))
        else:
            words[part] = unescape(text)
    assert "until you object" in words["basis"]
    assert "days" not in words
    text = json.dumps(words, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    person.switch(INTEREST, "withdraw")
    history = person.page("/customer/history").html
    assert sha256(text.encode()).hexdigest() in history
    assert words["basis"] in unescape(history), "the stored words have the sentence"


def test_a_replay_derives_every_answer(site: Site) -> None:
    logs = {read(site, "c00010")["read_log"].rsplit("/", 1)[-1]}
    for log in logs:
        replayed = sovereign("replay", log, "--data-dir", site.home, "--json")
        assert replayed.returncode == 0, replayed.stdout


def test_pages_are_plain_in_chinese(site: Site) -> None:
    person = site.visitor(**{"Accept-Language": "zh-CN"})
    person.client.post("/login", data={"customer": "c00019"})
    page = person.page("/customer").html
    assert "在您反对之前一直开启" in page
    assert "我反对" in page
