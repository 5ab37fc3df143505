"""Photograph every page: `python -m tests.browser.tour` writes docs/tour.md and docs/tour/*.png.

The pictures come from a small product with the demonstration's customers, on this machine, now.
"""

import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import Browser, Page, Playwright, sync_playwright

from gate.reads.request import ReadRequest
from ledger.events.envelope import SignalReported
from portal.operations import release_service
from portal.operations.wiring import Product
from tests.browser import find, hosts
from tests.browser.conftest import opened, serving
from tests.portal.conftest import Clock, copy, seed
from tests.portal.desk import furnish

DOCS = Path(__file__).parents[2] / "docs"
PICTURES = DOCS / "tour"
SUBJECT = "c00007"


@dataclass(frozen=True, slots=True)
class Shot:
    name: str
    path: str
    caption: str
    width: int = 1280
    scheme: str = "light"
    language: str = "en"
    signed_in: bool = True
    click: str = ""  # a control to use first
    show: str = ""  # what to scroll to
    steward: bool = False  # signed in at the desk, not as a customer
    keys: bool = False  # on the consent host, with a key


SHOTS = (
    Shot("landing", "/", "The first page, with the labelled trial login.", signed_in=False),
    Shot("centre", "/customer", "The sovereignty centre: what is allowed, at a glance."),
    Shot("centre-phone-zh", "/customer", "On a phone, dark, in Chinese.", 360, "dark", "zh-CN"),
    Shot("switch", "/customer", "After one press: recorded, with a receipt, and an undo.",
         click="#recommendation-withdraw", show="#recommendation"),
    Shot("card-phone", "/customer", "Consequence and alternative stand before the switch.", 360,
         show="#segmentation"),
    Shot("scene", "/customer/scenes/nearest-branch", "A scene, item by item."),
    Shot("scene-phone-zh", "/customer/scenes/anomaly-detection", "Items on a phone, in Chinese.",
         360, language="zh-CN"),
    Shot("conditions", "/customer/scenes/anomaly-detection",
         "A condition is a sentence one completes.", 360, click="#condition-0-set",
         show="#figure-0"),
    Shot("recipients", "/customer/recipients", "Who has what, and one press that stops it."),
    Shot("recipients-phone-zh", "/customer/recipients", "The same on a phone, dark, in Chinese.",
         360, "dark", "zh-CN", show="#recommender"),
    Shot("own-data", "/customer/data", "What is stored, and what each service is answered of it.",
         click="main form button"),
    Shot("map", "/customer/map?item=balance", "Where one item flows, and where it does not."),
    Shot("map-phone-de", "/customer/map", "On a phone the map is a list, here in German.", 360,
         language="de", click=".routes summary"),
    Shot("timeline", "/customer/timeline", "Everything that happened, each line with its proof."),
    Shot("timeline-phone-zh", "/customer/timeline", "The same on a phone, dark, in Chinese.", 360,
         "dark", "zh-CN"),
    Shot("history", "/customer/history", "Every decision, with the words seen and its receipt."),
    Shot("reads", "/customer/reads", "Every read, refusals and coarser answers too.", 360),
    Shot("paper", "/customer/receipts/43/paper", "A receipt to print, with a code that opens it."),
    Shot("handoff", "/customer", "Continue on the phone: once, for two minutes.",
         click=".phone button"),
    Shot("passkeys", "/customer/passkeys", "Signing in without a password.", 360),
    Shot("keys", "/customer/keys", "Keys of one's own: nobody else allows anything.", keys=True),
    Shot("keys-phone-zh", "/customer/keys", "The same on a phone, dark, in Chinese.", 360, "dark",
         "zh-CN", keys=True),
    Shot("signing", "/customer", "Everything that the key signs stands on the page.", keys=True,
         click="#segmentation summary", show="#segmentation"),
    Shot("mandates", "/customer/mandates", "Somebody else signs some scenes, for a while.", 360,
         keys=True),
    Shot("leave", "/customer/leave", "Everything to take along, and the way out."),
    Shot("leave-phone-zh", "/customer/leave/everything", "What leaving means, before it is done.",
         360, "dark", "zh-CN"),
    Shot("regulator", "/regulator", "For regulators: nothing to log in to.", signed_in=False),
    Shot("releases", "/regulator", "Synthetic releases with their promise.", signed_in=False,
         show="#releases-title"),
    Shot("opening", "/regulator/opening", "One customer's history, with a token, and seen by them.",
         360, "dark", "zh-CN", signed_in=False),
    Shot("release", "/regulator/releases/segmentation", "What a synthetic release is worth.",
         signed_in=False),
    Shot("verify", "/customer/history", "The second verifier, in the reader's own browser.",
         click=".timeline li:last-child .meta a:last-child", show="#good"),
    Shot("desk", "/desk", "The steward's desk: what changed, and what waits for a person.",
         steward=True),
    Shot("desk-case", "/desk/cases/1", "A case: what answers instead, the loss, review by when.",
         steward=True),
    Shot("desk-cases", "/desk/cases", "The queue of cases: by deadline, by who works on them.",
         steward=True),
    Shot("desk-cases-phone-de", "/desk/cases", "On a phone each case is a card, here in German.",
         360, "dark", "de", show=".cards", steward=True),
    Shot("desk-reviews-zh", "/desk/reviews", "Risky operations wait for a person.", 360, "dark",
         "zh-CN", steward=True),
    Shot("desk-contracts", "/desk/contracts", "Contracts, checked against the source.",
         steward=True),
    Shot("developers", "/docs", "For developers: one call instead of the read.", signed_in=False),
    Shot("developers-zh", "/docs", "The same in Chinese, dark.", 1280, "dark", "zh-CN",
         signed_in=False),
)  # fmt: skip


def text() -> str:
    """docs/tour.md: one picture a page, in the order of the list above."""
    parts = [f"## {shot.caption}\n\n![{shot.caption}](tour/{shot.name}.png)\n" for shot in SHOTS]
    head = "# A tour of the portal\n\nMade by `python -m tests.browser.tour`; run it to renew.\n"
    return "\n".join([head, *parts])


def main() -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as folder, sync_playwright() as playwright:
        product = _lived_in(Path(folder))
        path = find.find_or_install()
        browser = playwright.chromium.launch(executable_path=path, args=find.arguments())
        furnish(product, Clock(datetime.now(UTC).replace(microsecond=0) - timedelta(hours=5)))
        with serving(product) as site:
            for shot in SHOTS:
                if not shot.keys:
                    _take(browser, site, shot)
        browser.close()
        _take_with_keys(playwright, Path(folder))
    (DOCS / "tour.md").write_text(text(), encoding="utf-8")


def _lived_in(folder: Path) -> Product:
    """A product whose customer has been read about: allowed, partly allowed, refused."""
    now = datetime.now(UTC).replace(microsecond=0)
    (folder / "seed").mkdir()
    product = copy(seed(folder / "seed"), folder / "home")
    asked = {
        "recommender": "recommendation",
        "analytics": "segmentation",
        "ad-desk": "ads-device-id",
    }
    for service, scene in [*asked.items(), ("sales-desk", "segmentation")]:
        fields = (*product.scenes[scene].fields,)[:3]
        product.gate.read(ReadRequest(service, scene, SUBJECT, fields, now))
    monitor = product.scenes["anomaly-detection"].triggers[0]
    product.ledger.announce([SignalReported(monitor.source, monitor.signal, 9475, now)])
    release_service.release(product, product.scenes["segmentation"], now)
    product.publish()
    return product


def _take_with_keys(playwright: Playwright, folder: Path) -> None:
    """The pages of the consent host, of somebody with a passkey and a browser key."""
    made = hosts.certificate(folder)
    browser = hosts.launched(playwright, made.pin)
    with hosts.serving(folder / "seed", folder / "two", made) as site:
        for place, shot in enumerate(each for each in SHOTS if each.keys):
            page = hosts.arrive(
                browser,
                site,
                f"c{20 + place:05d}",
                locale=shot.language,
                color_scheme=shot.scheme,
                viewport={"width": shot.width, "height": 900},
            )
            hosts.authenticator(page)
            hosts.make(page, site)
            hosts.make(page, site, kind="browser")
            page.goto(f"{site.consent}{shot.path}")
            _finish(page, shot)
    browser.close()


def _take(browser: Browser, site: str, shot: Shot) -> None:
    page: Page = opened(
        browser,
        site,
        "/desk" if shot.steward else shot.path,
        subject=SUBJECT if shot.signed_in and not shot.steward else None,
        width=shot.width,
        scheme=shot.scheme,
        language=shot.language,
    )
    if shot.steward:
        page.click('button[value="account-manager"]')
        page.goto(f"{site}{shot.path}")
    _finish(page, shot)


def _finish(page: Page, shot: Shot) -> None:
    if shot.click:
        page.click(shot.click)
        page.wait_for_load_state("networkidle")
    if shot.show:
        page.locator(shot.show).evaluate("each => each.scrollIntoView({block: 'center'})")
    page.screenshot(path=PICTURES / f"{shot.name}.png")
    page.context.close()
    sys.stdout.write(f"{PICTURES / shot.name}.png\n")


if __name__ == "__main__":
    main()
