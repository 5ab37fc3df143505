"""Draws what `benchmarks.growth` measured: one small log-log plot for each operation, as SVG.

In each plot the horizontal axis is the number of customers and the vertical one processor time, a
decade being as long on both. So a line that rises like the dashed one is proportional, and a level
one is flat.
"""

from collections.abc import Iterator, Sequence
from html import escape
from math import ceil, floor, log10

from benchmarks.growth_clock import Costs

COLUMNS, WIDTH = 3, 310  # plots in a row, and the pixels of one
LEFT, TOP, BELOW, DECADE = 14, 44, 36, 48  # where the axes begin and end; a factor of ten
STYLE = """\
text{font:11px system-ui,sans-serif;fill:currentColor}.name{font-weight:600}
svg{color:#1b1b1b;background:#fff}.axis{stroke:currentColor;stroke-opacity:.35}
.line{fill:none;stroke:#0b5cad;stroke-width:2}.dot{fill:#0b5cad}
.slope{stroke:currentColor;stroke-opacity:.45;stroke-dasharray:3 3}
@media(prefers-color-scheme:dark){svg{color:#eee;background:#16181c}.line{stroke:#7db7f5}
.dot{fill:#7db7f5}}"""


def svg(sizes: Sequence[int], costs: Sequence[Costs]) -> str:
    """The plots of all operations that every size has. `costs`: in the order of `sizes`."""
    shared = [name for name in costs[0].costs if all(name in each.costs for each in costs)]
    figures = {name: [each.costs[name].cpu_s * 1e3 for each in costs] for name in shared}
    bottom = TOP + max(map(_decades, figures.values()), default=1) * DECADE
    high, rows = bottom + BELOW, ceil(len(shared) / COLUMNS)
    size = f'width="{COLUMNS * WIDTH}" height="{rows * high}"'
    box = f'viewBox="0 0 {COLUMNS * WIDTH} {rows * high}"'
    title = "<title>Processor time of each operation by the number of customers</title>"
    plots = "\n".join(
        f'<g transform="translate({at % COLUMNS * WIDTH} {at // COLUMNS * high})">'
        f"{''.join(_plot(name, sizes, figures[name], bottom))}</g>"
        for at, name in enumerate(shared)
    )
    begin = f'<svg xmlns="http://www.w3.org/2000/svg" role="img" {size} {box}>'
    return f"{begin}\n{title}<style>{STYLE}</style>\n{plots}\n</svg>\n"


def _logs(figures: Sequence[float]) -> list[float]:
    return [log10(max(each, 1e-3)) for each in figures]


def _decades(figures: Sequence[float]) -> int:
    """The powers of ten that the figures lie between."""
    logs = _logs(figures)
    return max(ceil(max(logs)) - floor(min(logs)), 1)


def _plot(name: str, sizes: Sequence[int], figures: Sequence[float], bottom: int) -> Iterator[str]:
    across = [log10(size / sizes[0]) * DECADE for size in sizes]
    logs = _logs(figures)
    least = floor(min(logs))
    points = [(LEFT + x, bottom - (y - least) * DECADE) for x, y in zip(across, logs, strict=True)]
    slope = (logs[-1] - logs[0]) / (across[-1] / DECADE) if across[-1] else 0.0
    end = LEFT + across[-1]
    yield f'<text class="name" x="{LEFT}" y="16">{escape(name)}</text>'
    measured = f"{figures[0]:,.1f} to {figures[-1]:,.1f} ms, slope {slope:.2f}"
    yield f'<text x="{LEFT}" y="31">{measured}</text>'
    yield f'<path class="axis" d="M{LEFT} {TOP}V{bottom}H{end:.0f}" fill="none"/>'
    first = points[0][1]
    yield f'<path class="slope" d="M{LEFT} {first:.1f}L{end:.1f} {first - across[-1]:.1f}"/>'
    line = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    yield f'<path class="line" d="M{line}"/>'
    yield from (f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in points)
    yield f'<text x="{LEFT}" y="{bottom + 15}">{sizes[0]:,} to {sizes[-1]:,} customers</text>'
