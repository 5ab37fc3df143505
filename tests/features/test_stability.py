"""M21: how stable a customer's permissions are, as a figure that services may be granted."""

from tests.features.catalogue import feature
from tests.features.served import Person, Site, pause, views

ALWAYS = 10_000  # ten-thousandths
FIELD = "authorisation_stability"


@feature("M21")
def test_the_stability_of_permissions_is_read_under_a_grant_and_falls_with_changes(
    site: Site, customer: Person
) -> None:
    def stability() -> int:
        pause(1.1)  # the figure counts whole seconds since the first instruction
        answer = site.read("risk-desk", "renewal-forecast", customer.subject, FIELD)
        assert views(answer) == {FIELD: "personal"}
        return int(answer["fields"][FIELD]["value"])

    refused = site.read("risk-desk", "renewal-forecast", customer.subject, FIELD)
    assert views(refused) == {FIELD: "withheld"}
    customer.switch("renewal-forecast", "allow")
    assert stability() == ALWAYS
    for wish in ("allow", "withdraw", "allow"):
        customer.switch("recommendation", wish)
    assert 0 < stability() < ALWAYS
