"""M9: two views under one customer id, the authorised and the synthetic one."""

import json
from collections import Counter

from tests.features.catalogue import feature
from tests.features.served import Person, Site, views

FIELDS = ("age", "job")


@feature("M9")
def test_one_customer_is_answered_from_both_views_at_once(site: Site, customer: Person) -> None:
    customer.switch_item("segmentation", "age", "allow")
    answer = site.read("analytics", "segmentation", customer.subject, *FIELDS)
    assert views(answer) == {"age": "personal", "job": "synthetic"}
    assert answer["release"].startswith("segmentation-")
    again = site.read("analytics", "segmentation", customer.subject, *FIELDS)
    assert again["fields"] == answer["fields"]


def test_a_synthetic_value_does_not_depend_on_the_customers_other_values(
    site: Site, customer: Person
) -> None:
    """The demonstration's contracts say `surrogates: independent` (G23)."""
    customer.switch_item("segmentation", "age", "allow")
    shown, drawn = ("job", "marital", "month", "y"), ("balance", "contact", "education", "poutcome")
    fields = ("age", *shown, *drawn)
    one = site.read("analytics", "segmentation", customer.subject, *fields)
    for item in shown:
        customer.switch_item("segmentation", item, "allow")
    more = site.read("analytics", "segmentation", customer.subject, *fields)
    assert views(one) == dict.fromkeys(fields, "synthetic") | {"age": "personal"}
    personal = {each for each, view in views(more).items() if view == "personal"}
    assert personal == {"age", *shown}
    assert [more["fields"][each] for each in drawn] == [one["fields"][each] for each in drawn]


@feature("M9")
def test_a_table_counts_everybody_and_states_its_error(site: Site) -> None:
    body = {"scene": "segmentation", "fields": ["age"]}
    response = site.ask("analytics", "/v1/table", body, accept="application/x-ndjson")
    assert response.status_code == 200
    rows = [json.loads(line) for line in response.text.splitlines()]
    marks = Counter(row["age.view"] for row in rows)
    assert marks.keys() == {"personal", "synthetic"}
    assert not any("customer" in row for row in rows)
    assert "release-anchored" in response.headers["Sovereign-Completion"]
    assert "mean" in response.headers["Sovereign-Completion"]


@feature("M9")
def test_a_release_states_its_privacy_loss_to_anybody(site: Site, customer: Person) -> None:
    answer = site.read("analytics", "segmentation", customer.subject, "job")
    statement = site.visitor().client.get(f"/releases/{answer['release']}.json").json()
    assert statement["scene"] == "segmentation"
    assert {"epsilon", "delta"} <= statement["statement"].keys()
