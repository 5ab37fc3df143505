"""The two hosts of the application: the login host, and the consent host for signing consent.

A passkey signs for the host that created it, and a page can use the passkeys of its own host only
(or of a parent domain). So a page of the login host can never get a signature that counts as
consent: section 12 of specs/portal.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import urlsplit

from ledger.events.customer_keys import RelyingParty

ENTRY = "/enter"  # where a customer arrives from the login host
HERE = (
    "/customer",
    "/archive/",
    "/static/",
    "/receipts",
    "/keys/",
)  # prefixes that the consent host serves
HERE_ALONE = {ENTRY, "/language", "/logout", "/verify"}
ELSEWHERE = ("/customer/passkeys", "/customer/handoff", "/customer/continue")


@dataclass(frozen=True)
class Hosts:
    """Both origins as the settings name them: `https://consent.bank.example`."""

    consent: str
    login: str

    @cached_property
    def party(self) -> RelyingParty:
        """The relying party of customers' keys."""
        return RelyingParty(urlsplit(self.consent).hostname or "", (self.consent,))

    def signs(self, headers: Mapping[str, str]) -> bool:
        """Whether this request came to the consent host."""
        return headers.get("host") == urlsplit(self.consent).netloc

    def comes_over(self, path: str, headers: Mapping[str, str]) -> bool:
        """Whether a page of the login host sends a customer here: the only cross-host write."""
        return path == ENTRY and self.signs(headers) and headers.get("origin") == self.login


def served_on_consent_host(path: str) -> bool:
    below = any(path == each.rstrip("/") or path.startswith(_under(each)) for each in HERE)
    return path in HERE_ALONE or (below and not path.startswith(ELSEWHERE))


def _under(prefix: str) -> str:
    return prefix.rstrip("/") + "/"
