"""Clauses I29 of specs/portability.md: which consent receipts an import takes.

Each table names siblings of a fault that was found once: {why: (input, what the refusal says)}.
"""

import json
from pathlib import Path

import pytest

from ledger.events.reducer import SceneConsent, SceneWithdrawal
from tests.portal.imports.runs import (
    ME,
    YOU,
    inside,
    receipt,
    refused,
    run,
    state,
    without,
)

BAD_RECEIPTS = {
    "revoked": receipt(state="REVOKED"),
    "revoked, in other letters": receipt(State="Revoked"),
    "withdrawn": receipt(status="Withdrawn"),
    "expired": receipt(consentStatus="expired"),
    "active": receipt(state="ACTIVE"),
    "a state that is null": receipt(state=None),
    "a nested state": receipt(consent={"state": "REVOKED"}),
    "a state of the service": inside("state", "REVOKED"),
    "a state of the purpose": receipt({"state": "REVOKED"}),
    "a state of the controller": receipt(piiControllers=[{"state": "REVOKED"}]),
    "an expiry": receipt(expiry="2026-04-01"),
    "a validity": receipt(validUntil="2026-04-01"),
    "a validity of the purpose": receipt({"validUntil": "2026-04-01"}),
    "a withdrawal": receipt(withdrawal={"at": "2026-04-01"}),
    "a termination of the receipt": receipt(termination="2026-04-01"),
    "a termination of the service": inside("termination", "2026-04-01"),
    "a member whose name differs in case": receipt({"Termination": "2026-04-01"}),
    "a member of no known meaning": receipt(tenantDomain="carbon.super"),
    "an end of words": receipt({"termination": "1 year"}),
    "an empty end": receipt({"termination": ""}),
    "an end that is null": receipt({"termination": None}),
    "an end that is a number": receipt({"termination": 1803859200}),
    "no end": without("termination"),
    "an end without a zone": receipt({"termination": "2027-03-01T00:00:00"}),
    "an end before the start": receipt({"termination": "2025-03-01"}),
    "no items": receipt({"piiCategory": []}),
    "no list of items": without("piiCategory"),
    "items that are a text": receipt({"piiCategory": "name"}),
    "items that are objects": receipt({"piiCategory": [{"piiCatName": "name"}]}),
    "an item twice": receipt({"piiCategory": ["name", "name"]}),
    "an unknown item": receipt({"piiCategory": ["name", "shoe size"]}),
    "an empty item": receipt({"piiCategory": [""]}),
    "consent in another case": receipt({"consentType": "Explicit"}),
    "consent that is implied": receipt({"consentType": "IMPLICIT"}),
    "no type of consent": without("consentType"),
    "a number for the customer": receipt(piiPrincipalId=41),
    "a customer in capitals": receipt(piiPrincipalId=ME.upper()),
    "a customer and a space": receipt(piiPrincipalId=f"{ME} "),
    "nobody of the source": receipt(piiPrincipalId="c99999"),
    "milliseconds": receipt(consentTimestamp=1772355600000),
    "no time, as zero": receipt(consentTimestamp=0),
    "a spreadsheet's number of a day": receipt(consentTimestamp=46_082),
    "a negative time": receipt(consentTimestamp=-1),
    "a time that is null": receipt(consentTimestamp=None),
    "a time that is true": receipt(consentTimestamp=True),
    "a time without a zone": receipt(consentTimestamp="2026-03-01T09:00:00"),
    "a time to come": receipt(consentTimestamp="2999-03-01T09:00:00Z"),
    "a version that is a number": receipt(version=1),
    "an ISO 27560 record": {"schema_version": "1.0", "record_id": "1", "state": "withdrawn"},
    "services that are an object": receipt(services={}),
    "services that are null": receipt(services=None),
    "a service that is a list": receipt(services=[[]]),
    "a purpose that is a text": receipt(services=[{"service": "x", "purposes": ["p"]}]),
    "a service without purposes": receipt(services=[{"service": "x"}]),
    "a state inside the policy": receipt(policyUrl={"state": "REVOKED"}),
    "a state inside the method": receipt(collectionMethod={"m": "web", "state": "REVOKED"}),
    "a state inside a category": receipt(spiCat=[{"state": "REVOKED"}]),
    "a state for a category": receipt(spiCat=["revoked"]),
    "a state for the jurisdiction": receipt(jurisdiction="REVOKED 2026-04-01"),
    "a state for sensitive": receipt(sensitive={"consentStatus": "withdrawn"}),
    "a state inside the address": receipt(piiControllers=[{"address": {"state": "REVOKED"}}]),
    "a state inside the service": inside("service", {"name": "crm", "state": "REVOKED"}),
    "a state of the category": receipt({"purposeCategory": [{"state": "REVOKED"}]}),
    "an expiry inside a third party": receipt({"thirdPartyName": {"expiry": "2026-04-01"}}),
    "words of an end in a third party": receipt({"thirdPartyName": "consent withdrawn in April"}),
    "an end after the last year": receipt({"termination": "9999-12-31T23:59:59-01:00"}),
    "a list for a receipt": [receipt()],
    "a text for a receipt": "receipt",
    "a number for a receipt": 7,
    "null for a receipt": None,
}


@pytest.mark.parametrize("why", BAD_RECEIPTS)
def test_i29_a_receipt_that_is_not_understood_is_refused(why: str, home: Path) -> None:
    text = json.dumps([receipt(piiPrincipalId=YOU), BAD_RECEIPTS[why]])
    refused(home, run(home, text, "--format", "kantara"), "consents: line 2: want")


GOOD_RECEIPT = json.dumps(receipt())
NO_JSON = {
    "a member twice": GOOD_RECEIPT.replace('"language"', '"piiPrincipalId": "c00042", "language"'),
    "a nested member twice": GOOD_RECEIPT.replace(
        '"consentType"', '"consentType": "IMPLICIT", "consentType"'
    ),
    "a member twice in escapes": GOOD_RECEIPT.replace(
        '"language"', '"l\\u0061nguage": "de", "language"'
    ),
    "NaN": GOOD_RECEIPT.replace("1772355600", "NaN"),
    "infinity": GOOD_RECEIPT.replace("1772355600", "Infinity"),
    "a fraction": GOOD_RECEIPT.replace("1772355600", "1772355600.5"),
    "an exponent": GOOD_RECEIPT.replace("1772355600", "17723556e2"),
    "a number of many digits": GOOD_RECEIPT.replace("1772355600", "9" * 5000),
    "lists nested deep": "[" * 100_000,
    "objects nested deep": '{"a":' * 100_000,
    "deep and whole": "[" * 5000 + "]" * 5000,
    "half a surrogate": GOOD_RECEIPT.replace(ME, "\\ud800"),
    "cut off": GOOD_RECEIPT[:-5],
    "two on one line": GOOD_RECEIPT + GOOD_RECEIPT,
    "a bad second line": f"{GOOD_RECEIPT}\n{GOOD_RECEIPT[:-5]}\n",
    "a second line with a member twice": f'{GOOD_RECEIPT}\n{{"a": 1, "a": 2}}\n',
    "an empty list": "[]",
}


@pytest.mark.parametrize("why", NO_JSON)
def test_i29_what_is_no_strict_json_is_refused_whole(why: str, home: Path) -> None:
    done = run(home, NO_JSON[why], "--format", "kantara")
    refused(home, done, "want")
    assert len(done.output.strip().splitlines()) == 1


def test_i29_a_duplicate_member_is_named(home: Path) -> None:
    done = run(home, NO_JSON["a nested member twice"], "--format", "kantara")
    assert "the duplicate keys ['consentType']" in done.output


NO_TEXT = {
    "Latin-1": GOOD_RECEIPT.replace("Web", "Büro").encode("latin-1"),
    "UTF-16": GOOD_RECEIPT.encode("utf-16"),
    "UTF-16 without a mark": GOOD_RECEIPT.encode("utf-16-le"),
    "UTF-32": GOOD_RECEIPT.encode("utf-32-be"),
    "nothing": b"",
}


@pytest.mark.parametrize("why", NO_TEXT)
def test_i29_receipts_are_utf_8(why: str, home: Path) -> None:
    data = NO_TEXT[why]
    if why == "Latin-1":
        data = json.dumps(receipt(jurisdiction="Büro"), ensure_ascii=False).encode("latin-1")
    done = run(home, data, "--format", "kantara")
    refused(home, done, "line 1: want")
    assert len(done.output.strip().splitlines()) == 1


STATES = '[columns]\nstatus = "state"\n[status]\nACTIVE = "granted"\nREVOKED = "withdrawn"\n'


@pytest.mark.parametrize(
    ("found", "kind"), [("ACTIVE", SceneConsent), ("REVOKED", SceneWithdrawal)]
)
def test_i29_a_mapping_says_where_the_status_of_a_receipt_is(
    found: str, kind: type, home: Path
) -> None:
    text = json.dumps(receipt(state=found, tenantDomain="carbon.super"))
    mapping = f'ignore = ["tenantDomain"]\n{STATES}'
    assert run(home, text, "--format", "kantara", mapping=mapping).exit_code == 0
    assert isinstance(state(home), kind)


BAD_STATES = {
    "another state": receipt(state="EXPIRED"),
    "no state": receipt(),
    "a state that is no text": receipt(state=True),
    "another one in the purpose": receipt({"state": "REVOKED"}, state="ACTIVE"),
}


@pytest.mark.parametrize("why", BAD_STATES)
def test_i29_a_declared_status_must_be_there_and_known(why: str, home: Path) -> None:
    done = run(home, json.dumps(BAD_STATES[why]), "--format", "kantara", mapping=STATES)
    refused(home, done, "line 1: want")


def test_i29_states_without_their_member_are_refused(home: Path) -> None:
    mapping = '[status]\nREVOKED = "withdrawn"'
    done = run(home, json.dumps(receipt()), "--format", "kantara", mapping=mapping)
    refused(home, done, "want the member with the status")


def test_i29_a_nul_in_an_id_is_one_bad_row(home: Path) -> None:
    done = run(home, json.dumps(receipt(piiPrincipalId="c\0")), "--format", "kantara")
    refused(home, done, "line 1: want a customer's number")


def test_i29_receipts_have_no_other_columns(home: Path) -> None:
    mapping = '[columns]\nuntil = "expiry"'
    done = run(home, json.dumps(receipt()), "--format", "kantara", mapping=mapping)
    refused(home, done, "want only status in [columns]")
