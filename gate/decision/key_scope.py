"""A service that asks with an API key, and what the key lets it ask for."""

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import msgspec

from gate.storage.deliveries import Logged

AGENTS = "/mcp"  # the endpoint of agents, whose tools ask at the others
CUSTOMER = "customer"  # the type of resources that are customers


class KeyScopeError(Exception):
    """A request is outside what its API key is for. Nothing was decided or read."""


class KeyEndedError(Exception):
    """The API key of a request ended before its answer left: the answer does not."""


class KeyedService(str):  # noqa: SLOT000 - a str with slots has none
    """The id of a service that sent an API key.

    `scenes`, `endpoints`: what the key is for; empty: all that the service may ask for. `used`
    notes for which entries of the read log it was used. `is_live` looks the key up again; both
    block, and raise DatabaseError.
    """

    scenes: Collection[str]
    endpoints: Collection[str]
    used: Callable[[Sequence[Logged]], None]
    is_live: Callable[[], bool]

    @classmethod
    def of(
        cls,
        service: str,
        scenes: Collection[str],
        endpoints: Collection[str],
        used: Callable[[Sequence[Logged]], None],
        is_live: Callable[[], bool],
    ) -> "KeyedService":
        made = cls(service)
        made.scenes, made.endpoints = scenes, endpoints
        made.used, made.is_live = used, is_live
        return made

    def require_live(self) -> None:
        """For what leaves later than it was asked for. Raises KeyEndedError, DatabaseError."""
        if not self.is_live():
            raise KeyEndedError

    def require_endpoint(self, path: str, *, by_agent: bool = False) -> None:
        """Raises KeyScopeError if the key is not for this endpoint.

        `by_agent`: a tool of `/mcp` asks; a key for that endpoint is for all of its tools.
        """
        if by_agent and AGENTS in self.endpoints:
            return
        if self.endpoints and path not in self.endpoints:
            raise _outside(f"endpoint {path}", self.endpoints)

    def require_scenes(self, body: bytes, default: str) -> None:
        """Raises KeyScopeError if a request names a scene that the key is not for.

        What names none is about the service's `default`; an answer over all scenes is refused, and
        one about other resources than customers, which belong to no scene.
        """
        if not self.scenes:
            return
        if any(kind != CUSTOMER for kind in _resource_types(body)):
            raise _outside("resources that are no customer's data", self.scenes)
        for scene in _scenes(body, default):
            self.require_scene(scene or "(none)")

    def require_scene(self, scene: str) -> None:
        """Raises KeyScopeError if the key is not for this scene."""
        if self.scenes and scene not in self.scenes:
            raise _outside(f"scene {scene}", self.scenes)

    def require_every_scene(self, path: str) -> None:
        """Raises KeyScopeError if the key is for some scenes only."""
        if self.scenes:
            raise _outside(f"{path}, which is about every scene", self.scenes)


def _outside(what: str, scope: Collection[str]) -> KeyScopeError:
    names = ", ".join(sorted(scope))
    return KeyScopeError(f"this API key is for {names}, and not for {what[:80]}")


def _decoded(body: bytes) -> dict[str, Any]:
    """The members of a body; none if it will be refused as malformed."""
    try:
        sent = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return {}
    return sent if isinstance(sent, dict) else {}


def _resource_types(body: bytes) -> Iterator[Any]:
    """The types of the resources that a request names, alone or in a batch."""
    sent = _decoded(body)
    elements = sent.get("evaluations")
    for each in (sent, *(elements if isinstance(elements, list) else ())):
        resource = each.get("resource") if isinstance(each, dict) else None
        if isinstance(resource, dict) and "type" in resource:
            yield resource["type"]


def _scenes(body: bytes, default: str) -> Iterator[str]:
    """The scenes that a request names, wherever the API has a place for one."""
    sent = _decoded(body)
    if not sent:
        return
    if "scene" in sent:
        yield _named(sent["scene"], "")
        return
    whole = _context(sent, "", default)
    elements = sent.get("evaluations")
    if not isinstance(elements, list) or not elements:
        yield whole
        return
    for each in elements:
        yield _context(each, whole, default) if isinstance(each, dict) else whole


def _context(sent: dict[str, Any], given: str, default: str) -> str:
    context = sent.get("context")
    if isinstance(context, dict):
        return _named(context.get("scene"), default)
    return given or default


def _named(scene: Any, default: str) -> str:
    return scene if isinstance(scene, str) and scene else default
