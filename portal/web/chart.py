"""Lays out line charts as inline SVG. The page shows each with a table of the same figures.

A chart has one horizontal axis and a few lines; all coordinates are computed here, so that the
template only writes them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 640, 240  # of the plot, in the drawing's own units
MARKS = 4  # horizontal lines above the axis
_STEPS = (1, 2, 2.5, 5, 10)


@dataclass(frozen=True, slots=True)
class ChartLine:
    """One line: its message key, and a figure for each place on the axis (None: no figure)."""

    key: str
    figures: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Drawn:
    key: str
    place: int  # among the lines: its colour and dash
    path: str
    dots: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class ChartMark:
    at: float  # its place along the axis
    figure: float


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart with all coordinates computed."""

    places: tuple[str, ...]  # labels of the horizontal axis, as text
    lines: tuple[ChartLine, ...]
    drawn: tuple[Drawn, ...]
    across: tuple[ChartMark, ...]
    below: tuple[float, ...]  # where each label stands
    width: int = WIDTH
    height: int = HEIGHT

    @property
    def rows(self) -> list[tuple[str, list[float | None]]]:
        """The table: a label and the figure of each line."""
        return [
            (label, [line.figures[row] for line in self.lines])
            for row, label in enumerate(self.places)
        ]


def chart(places: Sequence[str], lines: Sequence[ChartLine]) -> Chart:
    """Lay the lines out over `places`. Figures are not negative."""
    top = _top(max((f for line in lines for f in line.figures if f is not None), default=0))
    step = WIDTH / max(1, len(places) - 1)
    xs = tuple(round(step * n, 1) for n in range(len(places)))
    across = tuple(ChartMark(_up(top * n / MARKS, top), top * n / MARKS) for n in range(MARKS + 1))
    drawn = tuple(_drawn(place, line, xs, top) for place, line in enumerate(lines))
    return Chart((*places,), (*lines,), drawn, across, xs)


def _drawn(place: int, line: ChartLine, xs: Sequence[float], top: float) -> Drawn:
    dots = [
        (x, _up(figure, top))
        for x, figure in zip(xs, line.figures, strict=True)
        if figure is not None
    ]
    path = "M" + "L".join(f"{x} {y}" for x, y in dots) if dots else ""
    return Drawn(line.key, place, path, (*dots,))


def _up(figure: float, top: float) -> float:
    return round(HEIGHT - figure / top * HEIGHT, 1)


def _top(largest: float) -> float:
    """The smallest round figure that is not below the largest: 0.034 -> 0.05."""
    if largest <= 0:
        return 1.0
    unit = 1.0
    while unit > largest:
        unit /= 10
    while unit * 10 <= largest:
        unit *= 10
    return next(unit * step for step in _STEPS if unit * step >= largest)
