"""M29 and M31: consents of an old system are taken over as what they are, and end when they end."""

from base64 import b64decode

from tests.features.catalogue import feature
from tests.features.conftest import EXPIRED, IMPORTED, Bank
from tests.features.served import Site, done, views


@feature("M31")
def test_consents_of_an_old_system_are_imported_with_class_and_source(
    site: Site, bank: Bank
) -> None:
    assert bank.printed["import"].startswith("0 2 instructions of class D")
    assert bank.printed["again"].startswith("0 ")
    assert "nothing was recorded" in bank.printed["again"]
    answer = site.read("marketing-desk", "direct-marketing", IMPORTED, "name", "email", "phone")
    assert views(answer) == {"name": "personal", "email": "personal", "phone": "withheld"}
    customer = site.customer(IMPORTED)
    (entry,) = customer.receipts()
    assert entry == answer["determined_by"]
    receipt = customer.receipt(entry, bank.home.parent)
    printed = done("verify", receipt, "--key", site.home / "keys" / "consent.vkey")
    assert "evidence class D" in printed
    instruction = b64decode(receipt.read_text("utf-8").splitlines()[1].removeprefix("extra "))
    assert b"old crm" in instruction


@feature("M31")
def test_an_assumed_consent_is_not_imported(site: Site, bank: Bank) -> None:
    assert bank.printed["refused"].startswith("1 ")
    assert "assumed" in bank.printed["refused"]
    answer = site.read("marketing-desk", "direct-marketing", "c00298", "name")
    assert (answer["decision"], views(answer)["name"]) == (False, "withheld")


@feature("M29")
def test_a_permission_that_ended_is_not_read_and_is_given_again_as_it_was_given(
    site: Site,
) -> None:
    answer = site.read("branch-finder", "nearest-branch", EXPIRED, "location")
    assert (answer["reason"], views(answer)["location"]) == ("expired", "withheld")
    customer = site.customer(EXPIRED)
    customer.switch("nearest-branch", "allow")
    answer = site.read("branch-finder", "nearest-branch", EXPIRED, "location")
    assert views(answer) == {"location": "personal"}
