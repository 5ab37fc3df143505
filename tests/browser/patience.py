"""How long a test waits for a browser, whose own limits are those of a fast machine."""

from typing import Any

from playwright.sync_api import Browser, BrowserContext, expect

PATIENCE_MS = 180_000

expect.set_options(timeout=PATIENCE_MS)


def context(browser: Browser, **options: Any) -> BrowserContext:
    """A context whose pages wait as long."""
    made = browser.new_context(**options)
    made.set_default_timeout(PATIENCE_MS)
    return made
