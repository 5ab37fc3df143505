"""Clauses I1 to I8 of specs/portability.md: consents that were recorded elsewhere."""

import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from ledger.events.envelope import EvidenceClass, Granted, Imported, KeyEnrolled
from ledger.events.reducer import SceneConsent, SceneWithdrawal
from ledger.fsck import fsck
from ledger.service import Ledger
from portal.commands import app
from portal.consent import wording
from portal.operations.settings import Settings
from portal.operations.wiring import open_product
from portal.web import i18n
from tests.bank import contracts
from tests.ledger.events import KEY_ACTS
from tests.portal.conftest import START, Clock, browser, sign_in

HEAD = "subject,scene,fields,status,at,until\n"
GOOD = (
    HEAD + "c00041,direct-marketing,name;email,granted,2026-03-01T09:00:00Z,2027-03-01T00:00:00Z\n"
    "c00041,segmentation,*,granted,2026-04-01T09:00:00+02:00,\n"
    "c00042,segmentation,age,granted,2026-03-01T09:00:00Z,\n"
    "c00042,segmentation,,withdrawn,2026-05-01T09:00:00Z,\n"
)
SCENES = contracts()[1]


@pytest.fixture
def home(seeded: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(seeded, tmp_path / "home"))


@pytest.fixture
def ledger(home: Path) -> Iterator[Ledger]:
    made = Ledger.reopen(home)
    yield made
    made.close()


def run(home: Path, text: str | bytes, *more: str) -> Result:
    file = home.parent / "consents"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    words = ["import-consents", str(file), "--source", "CRM 2019", "--data-dir", str(home)]
    return CliRunner().invoke(app, [*words, *more])


def reopened(home: Path) -> Ledger:
    return Ledger.reopen(home)


def said(home: Path, subject: str) -> list[Any]:
    ledger = reopened(home)
    found = [each.event for each in ledger.history(subject)]
    ledger.close()
    return found


def test_i1_they_are_recorded_as_class_d_with_their_source(home: Path) -> None:
    done = run(home, GOOD)
    assert (done.exit_code, "4 instructions of class D" in done.output) == (0, True)
    first, second = said(home, "c00041")
    assert {each.evidence for each in (first, second)} == {EvidenceClass.IMPORTED}
    assert isinstance(first.act, Imported)
    assert first.act.source == f"CRM 2019 {sha256(GOOD.encode()).hexdigest()}"
    assert (first.act.scene, {*first.act.fields}) == ("direct-marketing", {"name", "email"})
    assert first.act.until == datetime(2027, 3, 1, tzinfo=UTC)
    assert {*second.act.fields} == {*SCENES["segmentation"].fields}, "* is all items"
    assert [*fsck(home)] == []


def test_i1_what_was_withdrawn_is_withdrawn(home: Path) -> None:
    run(home, GOOD)
    ledger = reopened(home)
    state = ledger.state("c00042")
    ledger.close()
    assert state is not None
    assert isinstance(state.scenes["segmentation"], SceneWithdrawal)


def test_i7_a_consent_is_as_old_as_it_was(home: Path) -> None:
    run(home, GOOD)
    ledger = reopened(home)
    state = ledger.state("c00041")
    ledger.close()
    assert state is not None
    held = state.scenes["segmentation"]
    assert isinstance(held, SceneConsent)
    assert held.at == datetime(2026, 4, 1, 7, tzinfo=UTC)


MAPPING = """
[columns]
subject = "Kundennummer"
scene = "Zweck"
fields = "Merkmale"
status = "Status"
at = "Datum"
[scenes]
WERB = "direct-marketing"
[items]
"E-Mail" = "email"
[status]
J = "granted"
N = "withdrawn"
[time]
format = "%d.%m.%Y"
"""


def test_i2_a_mapping_says_what_the_names_mean(home: Path, tmp_path: Path) -> None:
    (tmp_path / "names.toml").write_text(MAPPING)
    text = "Kundennummer,Zweck,Merkmale,Status,Datum\nc00044,WERB,E-Mail,J,01.03.2026\n"
    assert run(home, text, "--mapping", str(tmp_path / "names.toml")).exit_code == 0
    (only,) = said(home, "c00044")
    assert (only.act.scene, only.act.fields) == ("direct-marketing", ("email",))
    assert only.at == datetime(2026, 3, 1, tzinfo=UTC)


NO_MAPPINGS = {
    "no TOML": "columns = [",
    "another table": "[colums]\nsubject = 'x'\n",
    "not a text": "[columns]\nsubject = 7\n",
    "a column of ours that is none": "[columns]\nname = 'x'\n",
    "a column that is not there": "[columns]\nsubject = 'nobody'\n",
}


@pytest.mark.parametrize("why", NO_MAPPINGS)
def test_i2_a_mapping_that_says_nothing_is_refused(why: str, home: Path, tmp_path: Path) -> None:
    (tmp_path / "names.toml").write_text(NO_MAPPINGS[why])
    done = run(home, GOOD, "--mapping", str(tmp_path / "names.toml"))
    assert (done.exit_code, "want" in done.output or "TOML" in done.output) == (1, True)
    assert said(home, "c00041") == []


LINE = "c00043,segmentation,age,granted,2026-03-01T09:00:00Z,\n"
BAD = {
    "no customer": (LINE.replace("c00043", ""), "want a customer's number"),
    "a line break in the number": (LINE.replace("c00043", '"a\nb"'), "want a customer's number"),
    "no such scene": (LINE.replace("segmentation", "spying"), "want a scene that can be"),
    "a scene nobody consents to": (
        LINE.replace("segmentation", "contract-service"),
        "want a scene that can be consented to",
    ),
    "an item of another scene": (LINE.replace("age", "shoe size"), "want items of segmentation"),
    "another status": (LINE.replace("granted", "maybe"), "want granted or withdrawn"),
    "no time": (LINE.replace("2026-03-01T09:00:00Z", "spring"), "want a time"),
    "a time to come": (LINE.replace("2026-03-01", "2999-03-01"), "want a time of the past"),
    "an end before the beginning": (
        LINE.replace(",\n", ",2026-01-01T00:00:00Z\n"),
        "want an end after",
    ),
    "a cell more": (LINE.replace("\n", ",x\n"), "want as many cells"),
    "a cell less": ("c00043,segmentation\n", "want as many cells"),
}


@pytest.mark.parametrize("why", BAD)
def test_i4_a_bad_row_is_named_and_nothing_is_recorded(why: str, home: Path) -> None:
    line, message = BAD[why]
    done = run(home, GOOD + line)
    assert done.exit_code == 1
    where = 7 if "\n" in line[:-1] else 6
    assert f"line {where}: {message}" in done.output.replace("\n", " ").replace("  ", " ")
    assert "nothing was recorded" in done.output
    assert said(home, "c00041") == []


NOBODYS = ["no customer", "a line break in the number"]


def test_i4_bad_rows_are_passed_over_on_demand_and_listed(home: Path) -> None:
    whose = {why: line for why, (line, _) in BAD.items() if why not in NOBODYS}
    done = run(home, GOOD + "".join(whose.values()), "--skip-bad")
    assert (done.exit_code, "4 instructions" in done.output) == (0, True)
    assert done.output.count("skipped: line") == len(whose)
    assert said(home, "c00043") == []


@pytest.mark.parametrize("why", NOBODYS)
def test_i27_a_bad_row_that_does_not_show_whose_it_is_spoils_every_grant(
    why: str, home: Path
) -> None:
    done = run(home, GOOD + BAD[why][0], "--skip-bad")
    assert (done.exit_code, "1 instructions" in done.output) == (0, True)
    assert "which does not and may end this consent" in done.output
    assert said(home, "c00041") == []


NO_FILES = {
    "nothing": b"",
    "no UTF-8": b"subject,scene,at\n\xff,segmentation,2026-03-01\n",
    "another head": b"a,b,c\n1,2,3\n",
    "an open quote": GOOD.encode() + b'"c00043,segmentation,age\n',
}


@pytest.mark.parametrize("why", NO_FILES)
def test_i4_what_is_no_such_file_is_refused(why: str, home: Path) -> None:
    done = run(home, NO_FILES[why])
    assert (done.exit_code, "want" in done.output) == (1, True)
    assert said(home, "c00041") == []


def test_i5_the_same_file_is_recorded_once(home: Path) -> None:
    run(home, GOOD)
    done = run(home, GOOD)
    assert (done.exit_code, "imported before" in done.output) == (0, True)
    assert len(said(home, "c00041")) == 2


def test_i6_what_the_customer_said_here_is_never_overwritten(home: Path, ledger: Ledger) -> None:
    words = wording.wording(SCENES["segmentation"], i18n.load()["en"])
    act = Granted("segmentation", ("age",), None)
    ledger.record([ledger.draft("c00041", act, at=START, wording=words)])
    ledger.close()
    done = run(home, GOOD)
    assert "line 3: the customer decided segmentation here" in done.output
    own, imported = said(home, "c00041")
    assert (own.act, imported.act.scene) == (act, "direct-marketing")


def test_i6_nor_is_anything_newer(home: Path) -> None:
    run(home, GOOD)
    done = run(home, f"{HEAD}c00042,segmentation,age,granted,2026-04-30T00:00:00Z,\n")
    assert "a newer instruction on segmentation exists here" in done.output
    assert len(said(home, "c00042")) == 2


def test_i6_whose_own_keys_sign_is_asked_and_not_imported(home: Path, ledger: Ledger) -> None:
    words = wording.wording(SCENES["segmentation"], i18n.load()["en"])
    key = next(each for each in KEY_ACTS if isinstance(each, KeyEnrolled))
    ledger.record([ledger.draft("c00041", key, at=START, wording=words)])
    ledger.close()
    done = run(home, GOOD)
    assert (done.exit_code, done.output.count("skipped")) == (0, 2)
    assert len(said(home, "c00041")) == 1


def receipt(**changes: Any) -> dict[str, Any]:
    purpose = {
        "purpose": "direct-marketing",
        "purposeCategory": ["1 - Core Function"],
        "consentType": "EXPLICIT",
        "piiCategory": ["name", "email"],
        "primaryPurpose": True,
        "termination": "2027-03-01T00:00:00Z",
        "thirdPartyDisclosure": False,
    }
    service = {"service": "mail", "purposes": [purpose | changes.pop("purpose", {})]}
    return {
        "version": "KI-CR-v1.1.0",
        "jurisdiction": "DE",
        "consentTimestamp": 1772355600,
        "collectionMethod": "web form",
        "consentReceiptID": "c1d2e3f4-0000-4000-8000-000000000001",
        "language": "en",
        "piiPrincipalId": "c00041",
        "piiControllers": [{"piiController": "Bank", "contact": "DPO"}],
        "policyUrl": "https://bank.example/privacy",
        "services": [service],
        "sensitive": False,
        "spiCat": [],
    } | changes


FORMS = {
    "one": json.dumps(receipt()),
    "a list": json.dumps([receipt()]),
    "one a line": f"{json.dumps(receipt())}\n{json.dumps(receipt(piiPrincipalId='c00042'))}\n",
}


@pytest.mark.parametrize("form", FORMS)
def test_i3_consent_receipts_count_in_every_form(form: str, home: Path) -> None:
    done = run(home, FORMS[form], "--format", "kantara")
    assert done.exit_code == 0, done.output
    (only,) = said(home, "c00041")
    assert (only.act.scene, {*only.act.fields}) == ("direct-marketing", {"name", "email"})
    assert only.at == datetime(2026, 3, 1, 9, tzinfo=UTC)
    assert only.act.until == datetime(2027, 3, 1, tzinfo=UTC)


BAD_RECEIPTS = {
    "another version": receipt(version="KI-CR-v1.0.0"),
    "consent that was assumed": receipt(purpose={"consentType": "IMPLICIT"}),
    "no such scene": receipt(purpose={"purpose": "spying"}),
    "an item of another scene": receipt(purpose={"piiCategory": ["shoe size"]}),
    "a time to come": receipt(consentTimestamp=1 << 40),
    "no time": receipt(consentTimestamp=True),
    "nobody": receipt(piiPrincipalId=""),
    "no purpose": receipt(services=[]),
    "no services": {k: v for k, v in receipt().items() if k != "services"},
    "no object": [],
}


@pytest.mark.parametrize("why", BAD_RECEIPTS)
def test_i8_consent_is_never_made_of_silence(why: str, home: Path) -> None:
    text = json.dumps([receipt(), BAD_RECEIPTS[why]])
    done = run(home, text, "--format", "kantara")
    assert (done.exit_code, "line 2: want" in done.output) == (1, True), done.output
    assert said(home, "c00041") == []


def test_i3_what_is_no_json_is_refused(home: Path) -> None:
    done = run(home, "{hello", "--format", "kantara")
    assert (done.exit_code, "want JSON" in done.output) == (1, True)


def test_i1_the_customer_sees_where_it_comes_from(home: Path) -> None:
    run(home, f"{HEAD}c00050,segmentation,age,granted,2026-03-01T09:00:00Z,\n")
    product = open_product(Settings(data_dir=home, demo=True))
    with browser(product, Clock()) as client:
        page = sign_in(client, "c00050").get("/customer/history").text
    assert "taken over from earlier records" in page
    assert "Taken over as allowed:" in page
