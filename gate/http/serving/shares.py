"""Limits how many requests one service may have under way, so that it leaves places to others.

A service may have SHARE times as many as there are free places (dynamic thresholds: Choudhury and
Hahne, 1998): of 128 places one service alone may take 102, and two take 56 each. The fuller the
server, the fewer each may have, so the service with the most is refused first.
"""

from gate.http.response import HttpError

SHARE = 4  # times the free places
RETRY_AFTER_S = 1


class ServiceShares:
    """The requests under way by service, of one kind. For one event loop."""

    def __init__(self, places: int) -> None:
        """`places`: how many requests of this kind the server answers at once."""
        self._free = places
        self._under_way: dict[str, int] = {}

    def enter(self, service: str) -> None:
        """Take a place. Raises HttpError (503)."""
        mine = self._under_way.get(service, 0)
        if mine >= max(1, SHARE * self._free):
            detail = (
                f"your service has {mine} requests under way, and must leave places to others; "
                f"ask again in {RETRY_AFTER_S} s, or send fewer at once"
            )
            raise HttpError(503, "busy", "The server is busy", detail, retry_after=RETRY_AFTER_S)
        self._under_way[service] = mine + 1
        self._free -= 1

    def leave(self, service: str) -> None:
        """Give a place back."""
        self._free += 1
        if left := self._under_way[service] - 1:
            self._under_way[service] = left
        else:
            del self._under_way[service]
