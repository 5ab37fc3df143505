"""Dependencies of customer routes: the signed-in session and the scene of the path."""

from typing import Annotated

from fastapi import Depends, Path
from starlette.requests import Request

from gate.contracts.scene import Scene
from portal.auth.session import Session
from portal.web.pages import context, session
from portal.web.problems import SignedOutError, UnknownSceneError


def signed_in(request: Request) -> Session:
    """The customer's session. Raises SignedOutError."""
    current = session(request)
    if current is None:
        raise SignedOutError
    return current


def known_scene(request: Request, scene: Annotated[str, Path()]) -> Scene:
    """The scene of the path. Raises UnknownSceneError."""
    contract = context(request).product.scenes.get(scene)
    if contract is None:
        raise UnknownSceneError(scene)
    return contract


Me = Annotated[Session, Depends(signed_in)]
KnownScene = Annotated[Scene, Depends(known_scene)]
