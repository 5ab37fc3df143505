"""specs/portal.md, 9.1: a chart and its table say the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.web.chart import HEIGHT, MARKS, WIDTH, ChartLine, chart

TOPS = {
    0.0: 1.0,
    0.0004: 0.0005,
    0.034: 0.05,
    0.5: 0.5,
    0.6: 1.0,
    1.0: 1.0,
    7.0: 10.0,
    1_200.0: 2_000.0,
}


@pytest.mark.parametrize("most", TOPS)
def test_the_scale_ends_at_a_round_figure_not_below_the_largest(most: float) -> None:
    drawn = chart(["a"], [ChartLine("x", (most,))])
    assert drawn.across[-1].figure == pytest.approx(TOPS[most])
    assert (drawn.across[0].at, drawn.across[-1].at) == (HEIGHT, 0)
    assert len(drawn.across) == MARKS + 1


figures = st.lists(st.none() | st.floats(0, 1e6, allow_subnormal=False), min_size=1, max_size=40)


@given(figures)
def test_every_figure_has_its_dot_at_its_height_and_its_row(line: list[float | None]) -> None:
    labels = [str(n) for n in range(len(line))]
    drawn = chart(labels, [ChartLine("x", tuple(line))])
    top = drawn.across[-1].figure
    known = [(n, figure) for n, figure in enumerate(line) if figure is not None]
    assert [row for _, (row,) in drawn.rows] == line
    assert [label for label, _ in drawn.rows] == labels
    assert len(drawn.drawn[0].dots) == len(known)
    for (n, figure), (x, y) in zip(known, drawn.drawn[0].dots, strict=True):
        assert 0 <= x <= WIDTH
        assert x == drawn.below[n]
        assert y == pytest.approx(HEIGHT * (1 - figure / top), abs=0.06)


def test_without_figures_there_is_an_axis_and_no_line() -> None:
    drawn = chart(["a", "b"], [ChartLine("x", (None, None))])
    assert (drawn.drawn[0].path, drawn.drawn[0].dots) == ("", ())
