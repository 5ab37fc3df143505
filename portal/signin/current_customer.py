"""Whom a request of the customer's pages is from, and which scene it is about."""

from typing import Annotated

from fastapi import Depends, Path
from starlette.requests import Request

from gate.contracts.scene import Scene
from portal.auth.session import Session
from portal.web.pages import faces, session
from portal.web.problems import SignedOutError, UnknownSceneError


def signed_in(request: Request) -> Session:
    """Raises SignedOutError."""
    found = session(request)
    if found is None:
        raise SignedOutError
    return found


def known_scene(request: Request, scene: Annotated[str, Path()]) -> Scene:
    """Raises UnknownSceneError."""
    found = faces(request).product.scenes.get(scene)
    if found is None:
        raise UnknownSceneError(scene)
    return found


Me = Annotated[Session, Depends(signed_in)]
KnownScene = Annotated[Scene, Depends(known_scene)]
