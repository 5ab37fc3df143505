"""M28: scan a code with the phone and finish there."""

import re

import segno

from tests.features.catalogue import feature
from tests.features.served import Person, Site

CODE = re.compile(r'class="code">([^<]+)<')
DRAWN = re.compile(r'class="qrline"[^>]* d="([^"]+)"')


@feature("M28")
def test_a_phone_that_scans_the_code_is_signed_in_once(site: Site, customer: Person) -> None:
    page = customer.press(customer.page("/customer"), "/customer/handoff").html
    code, drawn = CODE.search(page), DRAWN.search(page)
    assert code is not None
    assert drawn is not None
    scanned = f"{site.address}/handoff#{code[1]}"
    assert drawn[1] in segno.make(scanned, error="m").svg_inline(border=4)

    phone = site.visitor()
    centre = phone.press(phone.page("/handoff"), "/handoff", code=code[1])
    assert 'id="overview"' in centre.html
    phone.switch("recommendation", "allow")
    button = customer.page("/customer").button("/customer/scenes/recommendation/allow")
    assert button.pressed is True

    thief = site.visitor()
    assert thief.press(thief.page("/handoff"), "/handoff", code=code[1]).status == 401
