"""What one server holds at most: open connections, and requests that are being answered.

Connections that wait for a request cost nobody else anything, until there are as many as may be
open. Then a new one takes the place of the one that waits longest: first of those that never sent a
whole request, then of those that did, then of those whose body is still on its way. If all are
being answered, the new one is told to come again.

Requests are counted by lane, so that pages and tables do not take the places of decisions. One over
a lane's limit is answered at once, before its body is read: 503 with Retry-After.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

RESERVED = 128  # file descriptors for files, databases and sources
PLACES = 128  # requests of a lane that are answered at once, by default
LEAST = 16  # connections that are open at most, however few descriptors there are


@dataclass(frozen=True, slots=True)
class Limits:
    """`head_s`: seconds in which a request's head has to arrive. `body_s`: the same for its body.
    `idle_s`: seconds after which a connection without a request is closed.
    """

    head_s: float = 10.0
    body_s: float = 60.0
    idle_s: float = 30.0
    connections: int = 2000
    requests: int = PLACES  # of each lane


@dataclass(slots=True)
class Lane:
    """Requests that wait for each other. `limit`: how many are answered at once."""

    limit: int
    inside: int = 0

    def enter(self) -> bool:
        """Whether there is room for one more."""
        if self.inside >= self.limit:
            return False
        self.inside += 1
        return True

    def leave(self, _: object = None) -> None:
        self.inside -= 1


@dataclass(frozen=True, slots=True)
class Lanes:
    """The lane of each path; all other paths share `others`."""

    others: Lane
    by_path: Mapping[str, Lane] = field(default_factory=dict)

    def of(self, path: str) -> Lane:
        return self.by_path.get(path, self.others)


class Closable(Protocol):
    """An open connection."""

    def is_receiving(self) -> bool:
        """Whether the body of its request is still on its way."""
        ...

    def give_up(self) -> None:
        """Close it; it hears of it by a reset."""
        ...


class OpenConnections:
    """The connections of one server, by what they wait for. For one event loop."""

    def __init__(self, limits: Limits, descriptors: int) -> None:
        """`descriptors`: how many files the process may open."""
        self.limits = limits
        self.most = max(LEAST, min(limits.connections, descriptors - RESERVED))
        self._new: dict[Closable, float] = {}  # without a whole request yet -> since when
        self._idle: dict[Closable, float] = {}  # after an answer -> since when
        self._begun: dict[Closable, float] = {}  # after an answer, in a head -> since when
        self._asking: dict[Closable, float] = {}  # from the head to the answer -> since when

    def __len__(self) -> int:
        return len(self._new) + len(self._idle) + len(self._begun) + len(self._asking)

    def opened(self, connection: Closable, now: float) -> bool:
        """Whether there is room for it, or somebody made room."""
        if len(self) >= self.most and not self._make_room():
            return False
        self._new[connection] = now
        return True

    def begins(self, connection: Closable, now: float) -> None:
        """The first bytes of a request's head arrived."""
        if self._idle.pop(connection, None) is not None:
            self._begun[connection] = now

    def asks(self, connection: Closable, now: float) -> None:
        """The head of a request is whole."""
        self._forget(connection)
        self._asking[connection] = now

    def waits(self, connection: Closable, now: float) -> None:
        """Its request was answered, and another may come."""
        if self._asking.pop(connection, None) is not None:
            self._idle[connection] = now

    def closed(self, connection: Closable) -> None:
        if self._asking.pop(connection, None) is None:
            self._forget(connection)

    def sweep(self, now: float) -> None:
        """Close those that take too long."""
        late = [each for each, since in self._new.items() if now - since > self.limits.head_s]
        late += [each for each, since in self._begun.items() if now - since > self.limits.head_s]
        late += [each for each, since in self._idle.items() if now - since > self.limits.idle_s]
        late += [
            each
            for each, since in self._asking.items()
            if now - since > self.limits.body_s and each.is_receiving()
        ]
        for each in late:
            self._end(each)

    def _make_room(self) -> bool:
        for waiting in (self._new, self._begun, self._idle):
            if waiting:
                self._end(next(iter(waiting)))
                return True
        slow = next((each for each in self._asking if each.is_receiving()), None)
        if slow is not None:
            self._end(slow)
        return slow is not None

    def _end(self, connection: Closable) -> None:
        self.closed(connection)
        connection.give_up()

    def _forget(self, connection: Closable) -> None:
        for waiting in (self._idle, self._begun, self._new):
            if waiting.pop(connection, None) is not None:
                return
