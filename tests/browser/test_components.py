"""specs/portal.md, 9.4: every component by itself, photographed and held to the same rules."""

import pytest
from playwright.sync_api import Browser

from portal.gallery import COMPONENTS
from tests.browser.conftest import opened
from tests.browser.test_looks import AXE, RULES, RUN_AXE, SCANNED, SETTINGS

LEAST_PICTURE = 1_000  # bytes; a blank one is smaller
OVERFLOWING = """() => [...document.querySelectorAll("#component *")]
  .filter(each => each.checkVisibility() && !each.closest(".scroll"))
  .filter(each => each.getBoundingClientRect().right > innerWidth + 1)
  .map(each => each.outerHTML.slice(0, 120))"""


@pytest.mark.campaign
@pytest.mark.parametrize("language", ["en", "zh-CN"])
@pytest.mark.parametrize("name", COMPONENTS)
def test_a_component_is_whole_in_every_setting(
    chromium: Browser, site: str, name: str, language: str
) -> None:
    page = opened(chromium, site, f"/components/{name}", language=language)
    page.evaluate(AXE.read_text())
    for width, scheme in SETTINGS:
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        assert len(page.locator("#component").screenshot()) > LEAST_PICTURE
        assert page.evaluate(OVERFLOWING) == []
        if (width, scheme) in SCANNED[language]:
            assert page.evaluate(RUN_AXE, RULES) == [], (name, width, scheme)
    page.context.close()
