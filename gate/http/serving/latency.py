"""Measures how long requests to the gate take, by path, from the head to the end of the answer."""

from bisect import bisect_left
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from time import perf_counter
from typing import Any

BOUNDS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
App = Callable[[Any, Any, Any], Awaitable[None]]


@dataclass(slots=True)
class Histogram:
    """How many requests took at most each of BOUNDS_S, and longer. Written by one event loop."""

    numbers: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS_S) + 1))
    seconds: float = 0.0  # in all

    def add(self, seconds: float) -> None:
        self.numbers[bisect_left(BOUNDS_S, seconds)] += 1
        self.seconds += seconds

    def cumulative(self) -> list[tuple[str, int]]:
        """The upper bound of each bucket, and how many requests took no longer."""
        bounds = [*map(str, BOUNDS_S), "+Inf"]
        return [*zip(bounds, accumulate(self.numbers), strict=True)]


class Timed:
    """An ASGI application around another, which measures requests of `paths`."""

    def __init__(self, app: App, paths: Iterable[str]) -> None:
        self._app = app
        self.histograms: Mapping[str, Histogram] = {each: Histogram() for each in paths}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        histogram = self.histograms.get(scope.get("path"))
        if histogram is None:
            await self._app(scope, receive, send)
            return
        began = perf_counter()
        try:
            await self._app(scope, receive, send)
        finally:
            histogram.add(perf_counter() - began)
