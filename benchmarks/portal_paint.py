"""How soon the sovereignty centre is seen: first contentful paint in a real browser on loopback.

Each visit is a fresh browser context, signed in; time counts from the start of the navigation. The
limit is 100 ms. Beside it, in turn, a page of one line from the same server: what the browser
itself takes on this machine. Needs Chromium (see tests/browser/find.py).
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
        found: dict[str, list[float]] = {"/customer": [], "/healthz": []}
        with serving(product) as site:
            for _ in range(VISITS):
                for path, times in found.items():
                    page = opened(browser, site, path, subject=SUBJECT)
                    times.append(float(page.evaluate(PAINTED)))
                    page.context.close()
        browser.close()
    print(f"\nfirst contentful paint, {VISITS} fresh visits each (limit {LIMIT_MS} ms)")
    for name, times in zip(("the centre", "one line, for comparison"), found.values(), strict=True):
        middle, fastest, slowest = median(times), min(times), max(times)
        print(f"  {name:26} median {middle:.0f} ms, fastest {fastest:.0f}, slowest {slowest:.0f}")
