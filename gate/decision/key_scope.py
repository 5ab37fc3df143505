"""A service that asks with an API key, and what the key lets it ask for."""

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import msgspec

from gate.storage.deliveries import Logged


class KeyScopeError(Exception):
    """A request is outside what its API key is for. Nothing was decided or read."""


class KeyedService(str):  # noqa: SLOT000 - a str with slots has none
    """The id of a service that sent an API key.

    `scenes`, `endpoints`: what the key is for; empty: all that the service may ask for. `used`
    notes for which entries of the read log it was used.
    """

    scenes: Collection[str]
    endpoints: Collection[str]
    used: Callable[[Sequence[Logged]], None]

    @classmethod
    def of(
        cls,
        service: str,
        scenes: Collection[str],
        endpoints: Collection[str],
        used: Callable[[Sequence[Logged]], None],
    ) -> "KeyedService":
        made = cls(service)
        made.scenes, made.endpoints, made.used = scenes, endpoints, used
        return made

    def require_endpoint(self, path: str) -> None:
        """Raises KeyScopeError if the key is not for this endpoint."""
        if self.endpoints and path not in self.endpoints:
            raise _outside(f"endpoint {path}", self.endpoints)

    def require_scenes(self, body: bytes, default: str) -> None:
        """Raises KeyScopeError if a request names a scene that the key is not for.

        What names none is about the service's `default`; an answer over all scenes is refused.
        """
        if not self.scenes:
            return
        for scene in _scenes(body, default):
            if scene not in self.scenes:
                raise _outside(f"scene {scene or '(none)'}", self.scenes)

    def require_every_scene(self, path: str) -> None:
        """Raises KeyScopeError if the key is for some scenes only."""
        if self.scenes:
            raise _outside(f"{path}, which is about every scene", self.scenes)


def _outside(what: str, scope: Collection[str]) -> KeyScopeError:
    names = ", ".join(sorted(scope))
    return KeyScopeError(f"this API key is for {names}, and not for {what[:80]}")


def _scenes(body: bytes, default: str) -> Iterator[str]:
    """The scenes that a request names, wherever the API has a place for one."""
    try:
        sent = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return  # it is refused as malformed
    if not isinstance(sent, dict):
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
