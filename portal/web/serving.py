"""Serves an application with the bounds of the settings, each kind of request in its lane."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

WAITING = 8  # times as many may wait, which costs a connection and no work
if TYPE_CHECKING:
    from gate.http.serving.bounds import Lanes
    from portal.operations.settings import Settings


def serve(app: Any, settings: "Settings", port: int, lifespan: str = "auto") -> None:
    """Answer requests until the process is stopped."""
    from gate.http.serving import server
    from gate.http.serving.bounds import Limits

    limits = Limits(
        head_s=settings.head_seconds,
        idle_s=settings.idle_seconds,
        connections=settings.max_connections,
        requests=settings.max_requests,
    )
    with settled():
        server.run(app, settings.host, port, limits, lanes(limits.requests), lifespan=lifespan)


def lanes(requests: int) -> "Lanes":
    """Decisions and reads of one customer; tables, rows, searches and agents; polls of the feed,
    which mostly wait; probes; and pages.
    """
    from gate.http.app import QUICK_PATHS, SLOW_PATHS, WAITING_PATHS
    from gate.http.serving.bounds import Lane, Lanes
    from portal.operations.readiness import probes

    quick, slow, waiting = Lane(requests), Lane(requests), Lane(WAITING * requests)
    return Lanes(
        Lane(requests),
        {
            **dict.fromkeys(QUICK_PATHS, quick),
            **dict.fromkeys(SLOW_PATHS, slow),
            **dict.fromkeys(WAITING_PATHS, waiting),
            **dict.fromkeys(probes.PATHS, Lane(requests)),
        },
    )


@contextmanager
def settled() -> Iterator[None]:
    """Exclude every object that exists now from garbage collection while the context lasts.

    Objects that libraries create at start are never garbage, and scanning them repeatedly would
    delay a page by more than 100 ms.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
