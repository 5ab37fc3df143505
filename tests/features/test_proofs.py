"""M8 and M16: what was instructed cannot be altered, and every read leaves a trace."""

import json
from pathlib import Path

import pytest

from tests.features.catalogue import feature
from tests.features.served import Person, Site, done, sovereign, wait_for


@pytest.fixture
def receipt(customer: Person, tmp_path: Path) -> Path:
    """The receipt of a withdrawal."""
    customer.switch("recommendation", "allow")
    customer.switch("recommendation", "withdraw")
    return customer.receipt(customer.receipts()[0], tmp_path)


@feature("M8")
def test_a_receipt_verifies_offline_and_an_altered_one_does_not(
    receipt: Path, site: Site, customer: Person
) -> None:
    key = site.home / "keys" / "consent.vkey"
    printed = done("verify", receipt, "--key", key)
    assert printed.startswith("VERIFIED")
    assert customer.subject in printed
    data = receipt.read_bytes()
    for place in range(0, len(data), len(data) // 5):
        receipt.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        altered = sovereign("verify", receipt, "--key", key)
        assert altered.returncode == 1, place
        assert "NOT VERIFIED" in altered.stderr


@feature("M8")
def test_the_published_log_holds_the_entry_and_only_grew(
    receipt: Path, site: Site, tmp_path: Path
) -> None:
    log, policy = site.home / "log" / "consent", site.home / "consent.policy"
    wait_for((log / "checkpoint").exists, "published log")
    audit = ("audit", log, "--policy", policy, "--state", tmp_path / "seen")
    assert "clean" in done(*audit)
    assert "clean" in done(*audit)


@feature("M16")
def test_each_read_is_shown_to_the_customer_with_its_reason_and_derived_again(
    site: Site, customer: Person
) -> None:
    customer.switch("recommendation", "allow")
    granted = site.read("recommender", "recommendation", customer.subject, "age")
    customer.switch("recommendation", "withdraw")
    refused = site.read("recommender", "recommendation", customer.subject, "age")
    assert [granted["reason"], refused["reason"]] == ["granted", "withdrawn"]
    page = customer.page("/customer/reads").html
    assert page.count('class="mark personal"') >= 1
    for answer in (granted, refused):
        assert f"entry {answer['entry']:,} " in page
    replayed = sovereign("replay", "--data-dir", site.home, "--json")
    assert replayed.returncode == 0, replayed.stdout + replayed.stderr
    reports = [json.loads(line) for line in replayed.stdout.splitlines()]
    instance = granted["read_log"].rsplit("/", 1)[-1]
    (report,) = [each for each in reports if each["log"] == instance]
    assert report["derived"] >= 2
    assert report["differences"] == []
