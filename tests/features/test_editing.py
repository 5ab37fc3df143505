"""M18: two editors of one scene never overwrite each other silently."""

from tests.features.catalogue import feature
from tests.features.served import Person, Site, views

ALLOW, WITHDRAW = (f"/customer/scenes/lead-scoring/{wish}" for wish in ("allow", "withdraw"))


@feature("M18")
def test_of_two_editors_of_a_scene_the_later_one_is_shown_the_conflict(
    site: Site, customer: Person
) -> None:
    customer.switch("lead-scoring", "allow")
    other = site.customer(customer.subject)
    mine, stale = customer.page("/customer"), other.page("/customer")
    assert customer.press(mine, WITHDRAW).status == 200

    refused = other.press(stale, ALLOW)
    assert refused.status == 409
    assert 'class="notice conflict"' in refused.html
    answer = site.read("sales-desk", "lead-scoring", customer.subject, "age")
    assert answer["reason"] == "withdrawn"
    assert refused.button(WITHDRAW).pressed is True

    again = other.press(refused, ALLOW)
    assert again.status == 200
    answer = site.read("sales-desk", "lead-scoring", customer.subject, "age")
    assert views(answer) == {"age": "personal"}
