"""What happens to customers at the source, served: what they, a service and an auditor see.

A rename, a merge, a split, a deletion, an erasure and a return. Each command runs beside the portal
and the gate, which obey it at once; each act is a receipt that verifies with the public keys alone.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.features.catalogue import feature
from tests.features.served import Person, Site, done, sovereign, views

SCENE, SERVICE = "recommendation", "recommender"
OTHER, OF_OTHER = "lead-scoring", "sales-desk"


@pytest.fixture
def two(site: Site, newcomers: Iterator[str]) -> tuple[Person, Person]:
    """Two customers, signed in, who decided nothing yet."""
    return site.customer(next(newcomers)), site.customer(next(newcomers))


def personal(site: Site, person: Person, service: str, scene: str, *fields: str) -> set[str]:
    answer = site.read(service, scene, person.subject, *fields)
    return {name for name, view in views(answer).items() if view == "personal"}


def changed(site: Site, *words: str) -> str:
    return done("customers", *words, "--data-dir", site.home)


def audited(site: Site, person: Person, folder: Path) -> str:
    """What a verifier with the log's public key says of the customer's last entry."""
    receipt = person.receipt(person.receipts()[0], folder)
    return done("verify", receipt, "--key", site.home / "public" / "consent.vkey")


def replayed(site: Site) -> None:
    """The answers of all gates follow from log, contracts and policy, whatever happened."""
    found = sovereign("replay", "--data-dir", site.home, "--json")
    assert found.returncode == 0, found.stdout + found.stderr


@feature("M10")
def test_a_renamed_customers_choices_follow_to_the_new_number(
    site: Site, two: tuple[Person, Person], tmp_path: Path
) -> None:
    old, new = two
    old.switch(SCENE, "allow")
    old.switch_item(SCENE, "age", "withdraw")
    old.switch(OTHER, "withdraw")
    assert "holds for the new number" in changed(site, "rename", old.subject, new.subject)
    # The service: under the new number what the old one allowed, and nothing under the old one.
    assert personal(site, new, SERVICE, SCENE, "age", "job") == {"job"}
    assert personal(site, new, OF_OTHER, OTHER, "age") == set()
    assert personal(site, old, SERVICE, SCENE, "age", "job") == set()
    # The customer: both pages say what happened, and the old one changes nothing any more.
    again = site.customer(new.subject)
    taken_over = again.page("/customer/history").html
    assert "The company gave you this number instead of an older one" in taken_over
    assert "decided under your old number, taken over by the company" in taken_over
    ended = site.customer(old.subject)
    assert "The company keeps you under another number now" in ended.page("/customer/history").html
    page = ended.page("/customer")
    assert ended.press(page, f"/customer/scenes/{SCENE}/allow").status == 409
    assert personal(site, old, SERVICE, SCENE, "job") == set()
    # The auditor: the company said so, not the customer.
    said = audited(site, again, tmp_path)
    assert "VERIFIED" in said
    assert "evidence class D" in said
    replayed(site)


@feature("M10")
def test_of_two_merged_customers_the_narrower_choice_holds(
    site: Site, two: tuple[Person, Person], tmp_path: Path
) -> None:
    merged, into = two
    merged.switch(SCENE, "allow")
    merged.switch_item(SCENE, "age", "withdraw")
    into.switch(SCENE, "allow")
    into.switch(OTHER, "allow")  # which the other one never allowed
    changed(site, "merge", merged.subject, into.subject)
    assert personal(site, into, SERVICE, SCENE, "age", "job") == {"job"}
    assert personal(site, into, OF_OTHER, OTHER, "age") == set()
    assert personal(site, merged, SERVICE, SCENE, "job") == set()
    kept = site.customer(into.subject)
    assert "Only what both records allowed stays allowed" in kept.page("/customer/history").html
    said = audited(site, kept, tmp_path)
    assert "evidence class D" in said
    kept.switch(OTHER, "allow")  # they may decide anew
    assert personal(site, into, OF_OTHER, OTHER, "age") == {"age"}
    replayed(site)


@feature("M10")
def test_of_a_split_customer_the_new_one_is_asked_and_refusals_hold_for_both(
    site: Site, two: tuple[Person, Person], tmp_path: Path
) -> None:
    one, new = two
    one.switch(SCENE, "allow")
    one.switch(OTHER, "allow")
    one.switch(OTHER, "withdraw")
    changed(site, "split", one.subject, new.subject)
    assert personal(site, one, SERVICE, SCENE, "job") == {"job"}
    assert personal(site, new, SERVICE, SCENE, "job") == set()
    assert personal(site, new, OF_OTHER, OTHER, "age") == set()
    again = site.customer(new.subject)
    for person in (site.customer(one.subject), again):
        assert "The company made two records of one" in person.page("/customer/history").html
    assert "evidence class D" in audited(site, again, tmp_path)
    again.switch(SCENE, "allow")
    assert personal(site, new, SERVICE, SCENE, "job") == {"job"}
    again.switch(SCENE, "withdraw")
    assert personal(site, one, SERVICE, SCENE, "job") == {"job"}, "they part from here on"
    replayed(site)


@feature("M10")
def test_who_is_deleted_at_the_source_can_sign_in_see_and_withdraw(
    site: Site, customer: Person, tmp_path: Path
) -> None:
    customer.switch(SCENE, "allow")
    assert personal(site, customer, SERVICE, SCENE, "age") == {"age"}
    changed(site, "deleted", customer.subject)
    assert personal(site, customer, SERVICE, SCENE, "age") == set()
    again = site.customer(customer.subject)
    assert "The company deleted its record of you" in again.page("/customer/history").html
    said = audited(site, again, tmp_path)
    assert "evidence class D" in said
    assert again.page("/customer/leave").status == 200
    assert again.page("/customer/reads").status == 200
    replayed(site)


@feature("M10")
def test_who_was_erased_and_returns_begins_with_nothing_allowed(
    site: Site, customer: Person
) -> None:
    customer.switch(SCENE, "allow")
    assert personal(site, customer, SERVICE, SCENE, "age") == {"age"}
    done("erase", customer.subject, "--data-dir", site.home)
    assert personal(site, customer, SERVICE, SCENE, "age") == set()
    again = site.customer(customer.subject)
    assert again.receipts() == [], "what was decided before is gone"
    assert personal(site, again, SERVICE, SCENE, "age") == set()
    again.switch(SCENE, "allow")
    assert personal(site, again, SERVICE, SCENE, "age") == {"age"}
    assert len(again.receipts()) == 1
    replayed(site)
