"""Settings that are accepted and still dangerous in service."""

from collections.abc import Iterator
from urllib.parse import urlsplit

from ledger.integrity.finding import FsckFinding
from portal.configuration import listener
from portal.operations.settings import Settings

HERE = {"127.0.0.1", "::1", "localhost", ""}
EVERYWHERE = {"0.0.0.0", "::"}  # noqa: S104 - what is warned of
URLS = (
    "login_origin",
    "consent_origin",
    "oidc_issuer",
    "desk_oidc_issuer",
    "token_jwks",
    "address",
)


def insecure(settings: Settings) -> Iterator[FsckFinding]:
    """Findings about settings and their combinations. Repeats no secret."""
    yield from _unencrypted(settings)
    yield from _sign_in(settings)
    yield from _listening(settings)
    if settings.token_jwks and not (settings.token_issuer and settings.token_audience):
        why = "without token_issuer and token_audience accepts what was issued for others"
        yield _finding("token_jwks", why, "set both")


def _unencrypted(settings: Settings) -> Iterator[FsckFinding]:
    for name in URLS:
        url = urlsplit(getattr(settings, name))
        host = url.hostname or ""
        if url.scheme == "http" and host not in HERE and not host.endswith(".localhost"):
            yield _finding(
                name, "is http:// of another host: it can be read and changed on its way"
            )


def _sign_in(settings: Settings) -> Iterator[FsckFinding]:
    if settings.demo:
        yield _finding("demo", "lets anybody sign in as any customer: never with real customers")
    elif not settings.oidc_issuer and not settings.mail_sign_in:
        yield _finding("oidc_issuer", "is empty, so nobody can sign in", "name your provider")
    if settings.mail_sign_in and not settings.mail:
        yield _finding("mail_sign_in", "has no effect without mail", "set mail")


def _listening(settings: Settings) -> Iterator[FsckFinding]:
    if settings.host not in HERE and not settings.login_origin:
        why = "is empty while the portal listens beyond this machine: nothing says that it is https"
        yield _finding("login_origin", why, "set login_origin and consent_origin")
    if settings.metrics_listen and listener.address(settings.metrics_listen)[0] in EVERYWHERE:
        why = "shows metrics on every address, unprotected"
        yield _finding("metrics_listen", why, "name an address of an inner network")


def _finding(setting: str, why: str, remedy: str = "change it") -> FsckFinding:
    return FsckFinding(f"setting {setting}", why, remedy=remedy)
