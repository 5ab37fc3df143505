"""docs/tour.md shows every page, and is what its command writes."""

from tests.browser import tour
from tests.browser.test_looks import PAGES


def test_the_tour_is_what_its_command_writes() -> None:
    assert (tour.DOCS / "tour.md").read_text() == tour.text()
    pictures = {path.stem for path in tour.PICTURES.iterdir()}
    assert pictures == {shot.name for shot in tour.SHOTS}


def test_the_tour_shows_every_page() -> None:
    shown = {shot.path.split("?")[0].split("/scenes/")[0] for shot in tour.SHOTS}
    wanted = {path.split("?")[0].split("/scenes/")[0] for path in PAGES}
    assert wanted - shown == {
        "/handoff",
        "/nothing",
        "/verify",
    }  # a form, a missing page, shown from the history
