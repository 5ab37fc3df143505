"""The end of a server: nobody is signed out, nobody comes back, and no two of them write."""

import shutil
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from portal.commands.lease_watch import LOST
from tests.features.conftest import _run, prepared
from tests.features.served import PATIENCE_S, Person, Site

CUSTOMER, LEAVING, SCENE = "c00203", "c00204", "recommendation"


@pytest.fixture
def stopped(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A small bank of this test's own, which nobody serves yet."""
    home = shutil.copytree(prepared(_run(tmp_path_factory)), tmp_path / "data")
    return Site(home, tmp_path / "server.log")


def test_a_browser_stays_signed_in_across_a_restart_and_signed_out_too(stopped: Site) -> None:
    with stopped.serving() as site:
        people = site.customer(CUSTOMER), site.customer(LEAVING), site.steward()
        customer, leaving, desk = (dict(each.client.cookies) for each in people)
        people[0].switch(SCENE, "allow")
        people[1].press(people[1].page("/customer"), "/logout")
    with stopped.serving() as site:
        again = returning(site, customer)
        assert again.page("/customer").button(f"/customer/scenes/{SCENE}/allow").pressed is True
        again.switch(SCENE, "withdraw")
        assert is_signed_in(returning(site, desk), "/desk")
        assert not is_signed_in(returning(site, leaving), "/customer")
        again.press(again.page("/customer"), "/logout")
    with stopped.serving() as site:
        assert not is_signed_in(returning(site, customer), "/customer")
        assert is_signed_in(returning(site, desk), "/desk")


def test_a_writer_whose_lock_file_was_replaced_answers_nothing_and_ends(stopped: Site) -> None:
    with stopped.serving() as site:
        lock = site.home / "state" / "writer.lock"
        (lock.parent / "new").touch()
        (lock.parent / "new").rename(lock)
        asked = {"scene": SCENE, "customer": CUSTOMER, "fields": ["age"]}
        with suppress(httpx.TransportError):  # it has ended
            while True:
                assert site.ask("recommender", "/v1/read", asked).status_code == 503
        assert site.process is not None
        assert site.process.wait(PATIENCE_S) == LOST
    assert "was replaced or removed" in site.log.read_text().splitlines()[-1]


def is_signed_in(person: Person, path: str) -> bool:
    """Whether they see their own page, and not the one for signing in."""
    response = person.client.get(path)
    return response.status_code == 200 and response.url.path == path and "/logout" in response.text


def returning(site: Site, cookies: dict[str, str]) -> Person:
    """The same browser, at the site as it is served now."""
    visitor = site.visitor()
    visitor.client.cookies.update(cookies)
    return visitor
