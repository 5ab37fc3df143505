"""M16: what happened with a customer's data, page by page."""

import pytest

from tests.features.served import Person


@pytest.mark.parametrize("place", ["/customer/reads", "/customer/history"])
def test_3_28_a_page_beyond_the_last_does_not_say_that_nothing_happened(
    customer: Person, place: str
) -> None:
    customer.switch("segmentation", "allow")
    nothing = ("Nobody has read your data yet.", "You have not decided anything yet.")
    far = customer.page(f"{place}?page=99999").html
    assert "There is nothing on this page." in far
    assert 'href="?page=1"' in far
    assert not [each for each in nothing if each in far]
