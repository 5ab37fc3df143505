"""Lays out line charts as inline SVG. The page shows each with a table of the same figures.

A chart has one horizontal axis and a few lines; all coordinates are computed here, so that the
template only writes them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 640, 240  # of the plot, in the drawing's own units
MARKS = 4  # horizontal lines above the axis
_STEPS = (1, 2, 2.5, 5, 10)


@dataclass(frozen=True, slots=True)
class ChartLine:
    """One line: its message key, and a figure for each place on the axis (None: no figure).

    `bars`: by how much each figure may be off; empty: not stated.
    """

    key: str
    figures: tuple[float | None, ...]
    bars: tuple[float, ...] = ()

    def bar(self, place: int) -> float | None:
        return self.bars[place] if self.bars else None


@dataclass(frozen=True, slots=True)
class Drawn:
    key: str
    place: int  # among the lines: its colour and dash
    path: str
    dots: tuple[tuple[float, float], ...]
    bars: tuple[tuple[float, float, float], ...]  # where it stands; its lower and its upper end


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

    def bar(self, row: int, line: int) -> float | None:
        """By how much the figure of a line in a row of the table may be off; None: not stated."""
        return self.lines[line].bar(row)


def chart(places: Sequence[str], lines: Sequence[ChartLine]) -> Chart:
    """Lay the lines out over `places`. Figures are not negative."""
    top = _top(max((high for line in lines for _, _, high in _spans(line)), default=0))
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
    bars = [
        (xs[place], _up(max(0, low), top), _up(high, top))
        for place, low, high in _spans(line)
        if line.bars
    ]
    path = "M" + "L".join(f"{x} {y}" for x, y in dots) if dots else ""
    return Drawn(line.key, place, path, (*dots,), (*bars,))


def _spans(line: ChartLine) -> Iterator[tuple[int, float, float]]:
    """Each place with a figure, and the figure less and plus its bar."""
    for place, figure in enumerate(line.figures):
        if figure is not None:
            bar = line.bar(place) or 0
            yield place, figure - bar, figure + bar


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
