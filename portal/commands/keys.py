"""`sovereign keys`: API keys for services that have no OAuth issuer."""

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from ledger import clock
from portal.commands.errors import fail, require_ledger
from portal.commands.options import HERE, DataDir

if TYPE_CHECKING:
    from gate.contracts.company import Company
    from gate.storage.api_keys import ApiKey

app = typer.Typer(help="API keys for services without an OAuth issuer.", no_args_is_help=True)
DAYS = 90
_SPAN = re.compile(r"([1-9]\d{0,4})([hd])")

Name = Annotated[str, typer.Argument(help="The key's id, as `list` shows it.", metavar="ID")]
Expires = Annotated[
    str, typer.Option(help="When it ends: 90d, 12h, or a time such as 2027-01-31T00:00:00Z.")
]


@app.command()
def issue(
    service: Annotated[str, typer.Argument(help="A service of services.toml or of a contract.")],
    scope: Annotated[
        list[str] | None,
        typer.Option(help="A scene, or an endpoint such as /v1/read; repeat it for more."),
    ] = None,
    expires: Expires = f"{DAYS}d",
    data_dir: DataDir = HERE,
) -> None:
    """Print a new API key. It is stored as a hash only: nobody can print it again.

    Without --scope it is for all that the service may ask for. Exit status 2: the service, a scene
    or an endpoint is not known; no key was made.
    """
    from gate.storage.api_keys import ApiKeyStore
    from portal.operations import company_folder, open_ledger

    home = require_ledger(data_dir)
    at = clock.now()
    scenes, endpoints = _scope(company_folder.of(home), service, scope or [])
    ends = _end(expires, at)
    with open_ledger.writing(home):
        _, text = ApiKeyStore(home).issue(service, at, ends, scenes, endpoints)
    typer.echo(text)


@app.command("list")
def list_keys(data_dir: DataDir = HERE) -> None:
    """List all keys: id, service, scope, when each ends or ended, and its use."""
    from gate.storage.api_keys import ApiKeyStore

    store, at = ApiKeyStore(require_ledger(data_dir)), clock.now()
    for key in store.all():
        use = store.uses(key.id)
        last = f", last {use.last:%Y-%m-%dT%H:%M:%SZ}" if use.last else ""
        scope = " ".join([*key.scenes, *key.endpoints]) or "everything"
        typer.echo(
            f"{key.id}  {key.service}  {scope}  {_state(key, at)}  {use.entries} entries{last}"
        )


@app.command()
def uses(name: Name, data_dir: DataDir = HERE) -> None:
    """List the entries of read logs that rest on requests with a key: log, and first to last."""
    from gate.storage.api_keys import ApiKeyStore

    store = ApiKeyStore(require_ledger(data_dir))
    if name not in {key.id for key in store.all()}:
        fail(f"no key has the id {name[:40]!r}; see `sovereign keys list`")
    for log, first, count in store.entries(name):
        typer.echo(f"{log}#{first}" + (f" to {first + count - 1}" if count > 1 else ""))


@app.command()
def revoke(name: Name, data_dir: DataDir = HERE) -> None:
    """End a key. From the moment this returns no gate accepts it.

    Exit status 2: no such key, or it is over already.
    """
    from gate.storage.api_keys import ApiKeyStore, UnknownKeyError
    from portal.operations import open_ledger

    home = require_ledger(data_dir)
    try:
        with open_ledger.writing(home):
            key = ApiKeyStore(home).revoke(name, clock.now())
    except UnknownKeyError as error:
        fail(str(error))
    typer.echo(f"{key.id}: revoked")


@app.command()
def rotate(
    name: Name,
    overlap: Annotated[
        str, typer.Option(help="How long the old key stays valid: 24h, 7d.")
    ] = "24h",
    expires: Expires = f"{DAYS}d",
    data_dir: DataDir = HERE,
) -> None:
    """Print a new key with the scope of another, which stays valid for --overlap.

    Exit status 2: no such key, or it is over already; no key was made.
    """
    from gate.storage.api_keys import ApiKeyStore, UnknownKeyError
    from portal.operations import open_ledger

    home, at = require_ledger(data_dir), clock.now()
    until, ends = _end(overlap, at), _end(expires, at)
    try:
        with open_ledger.writing(home):
            _, text = ApiKeyStore(home).rotate(name, at, until, ends)
    except UnknownKeyError as error:
        fail(str(error))
    typer.echo(text)


def _state(key: "ApiKey", at: datetime) -> str:
    if key.revoked is not None:
        return f"revoked {key.revoked:%Y-%m-%dT%H:%M:%SZ}"
    return f"{'valid' if key.is_live(at) else 'ended'} until {key.expires:%Y-%m-%dT%H:%M:%SZ}"


def _scope(company: "Company", service: str, scope: list[str]) -> tuple[list[str], list[str]]:
    """The scenes and endpoints of a scope."""
    from gate.decision.key_scope import AGENTS
    from portal.service.routes import GATE_PATHS

    offered = {scene.id for scene in company.scenes.values() if scene.admits(service)}
    registered = company.services.get(service)
    if not offered and not (registered and registered.may_ask_for):
        known = {each.id for scene in company.scenes.values() for each in scene.services}
        fail(f"no service {service[:40]!r}, want one of {', '.join(sorted(known))}")
    endpoints = [each for each in scope if each.startswith("/")]
    scenes = [each for each in scope if not each.startswith("/")]
    for each in scenes:
        if each not in offered:
            names = ", ".join(sorted(offered)) or "none"
            fail(f"scope {each[:40]!r}: {service} may ask for these scenes: {names}")
    paths = (*GATE_PATHS, AGENTS)
    for each in endpoints:
        if each not in paths:
            fail(f"scope {each[:40]!r} is no endpoint, want one of {', '.join(paths)}")
    return scenes, endpoints


def _end(text: str, at: datetime) -> datetime:
    """A time in the future: after a span, or as it is written."""
    if span := _SPAN.fullmatch(text):
        number = int(span[1])
        return at + (timedelta(hours=number) if span[2] == "h" else timedelta(days=number))
    try:
        ends = datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        fail(f"{text[:40]!r} is no span and no time, want 90d, 12h or 2027-01-31T00:00:00Z")
    if ends <= at:
        fail(f"{text} is over already, want a time in the future")
    return ends
