"""How soon the sovereignty centre is seen: first contentful paint in a real browser on loopback.

Each visit is a fresh browser context, signed in, with an empty cache; time counts from the start of
the navigation. The limit is 100 ms. Needs Chromium (see tests/browser/find.py).
"""

from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from playwright.sync_api import sync_playwright

from tests.browser import find
from tests.browser.conftest import opened, serving
from tests.portal.conftest import copy, seed

VISITS, LIMIT_MS = 20, 100
SUBJECT = "c00007"
PAINTED = """() => new Promise(done => new PerformanceObserver(list => {
    const first = list.getEntriesByName("first-contentful-paint");
    if (first.length) done(first[0].startTime);
  }).observe({type: "paint", buffered: true}))"""


def main() -> None:
    with TemporaryDirectory() as folder, sync_playwright() as playwright:
        (Path(folder) / "seed").mkdir()
        product = copy(seed(Path(folder) / "seed"), Path(folder) / "home")
        browser = playwright.chromium.launch(
            executable_path=find.find_or_install(), args=find.arguments()
        )
        with serving(product) as site:
            found = []
            for _ in range(VISITS):
                page = opened(browser, site, "/customer", subject=SUBJECT)
                found.append(float(page.evaluate(PAINTED)))
                page.context.close()
        browser.close()
    found.sort()
    print(f"\nfirst contentful paint of the centre, {VISITS} fresh visits (limit {LIMIT_MS} ms)")
    print(f"  median {median(found):.0f} ms, fastest {found[0]:.0f} ms, slowest {found[-1]:.0f} ms")
