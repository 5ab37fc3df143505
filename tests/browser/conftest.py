"""A real browser against a real server on loopback."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvicorn
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from portal.app import create_app
from portal.operations.wiring import Product
from tests.browser import find, patience
from tests.portal.conftest import copy, seeded

__all__ = ["seeded"]

Open = Callable[..., Page]
UNSETTLED = ":is(.htmx-request, .htmx-swapping, .htmx-settling, .htmx-added)"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Not for the whole session: while it is open its event loop runs, and no other can."""
    try:
        path = find.find_or_install()
    except find.NoBrowserError as error:
        pytest.skip(str(error))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=find.arguments())
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def house(seeded: Path, tmp_path_factory: pytest.TempPathFactory) -> Product:
    """The product behind the server. Each test that records uses a customer of its own."""
    product = copy(seeded, tmp_path_factory.mktemp("house") / "home")
    product.publish()
    return product


@pytest.fixture(scope="session")
def site(house: Product) -> Iterator[str]:
    with serving(house) as address:
        yield address


@pytest.fixture
def visit(chromium: Browser, site: str) -> Iterator[Open]:
    """Open pages: `visit("/customer", subject="c00007", javascript=False)`."""
    contexts: list[BrowserContext] = []

    def open_(path: str, *, subject: str | None = None, **options: object) -> Page:
        page = opened(chromium, site, path, subject=subject, **options)
        contexts.append(page.context)
        return page

    yield open_
    for context in contexts:
        context.close()


def opened(
    browser: Browser, site: str, path: str, *, subject: str | None = None, **options: object
) -> Page:
    """A page in a context of its own, signed in as `subject`.

    Options: javascript, width, scheme ("light", "dark"), language ("en", "zh-CN"), zone.
    """
    context = patience.context(
        browser,
        base_url=site,
        java_script_enabled=bool(options.get("javascript", True)),
        viewport={"width": int(str(options.get("width", 1280))), "height": 900},
        color_scheme="dark" if options.get("scheme") == "dark" else "light",
        locale=str(options.get("language", "en")),
        timezone_id=str(options.get("zone", "UTC")),
    )
    page = context.new_page()
    if subject is not None:
        page.goto("/")
        page.fill("#customer", subject)
        page.click("form.inline button")
    page.goto(path)
    return page


def settled(page: Page) -> None:
    """Wait until htmx has put the answer to the last press in place.

    New elements carry the attributes of those they replace until then: which button is pressed, and
    the version that the next press sends.
    """
    expect(page.locator(UNSETTLED)).to_have_count(0)


@contextmanager
def serving(product: Product) -> Iterator[str]:
    """Serve the portal on a free port of the loopback address while the context lasts."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(create_app(product), log_level="warning"))
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.02)
        assert thread.is_alive(), "the server did not start"
    yield f"http://localhost:{port}"
    server.should_exit = True
    thread.join()
