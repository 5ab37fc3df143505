"""Clauses P20 to P27 of specs/portability.md: the customer's own page to take all, or leave."""

import io
import re
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Event
from typing import Any

import pytest
from httpx2 import Response
from starlette.testclient import TestClient

from gate.reads.request import ReadRequest
from ledger.events.envelope import Granted, Withdrawn
from ledger.events.reducer import SceneConsent
from portal.archive import building, store
from portal.archive.holding import CustomerRecords
from portal.archive.store import ArchiveStore
from portal.consent import acts, wording
from portal.customer import leaving
from portal.jobs import departures
from portal.operations.wiring import Product
from portal.storage.departures import Departures
from portal.web import i18n
from steward.language import catalogue
from steward.oversight.legal_hold import Holds
from tests.portal.conftest import START, Clock, browser, sign_in
from tests.portal.desk import ME, say

LINK = re.compile(r'href="(/archive/[0-9a-f]{48}/[0-9a-f-]+\.zip)"')


@pytest.fixture(autouse=True)
def settled() -> Iterator[None]:
    """No archive is being made when a test ends."""
    yield
    import threading

    for each in threading.enumerate():
        if each.name == building.NAME:
            each.join(timeout=180)


def made(customer: TestClient) -> str:
    """The address of the archive, when it is ready."""
    assert customer.post("/customer/leave/archive").status_code == 200
    for _ in range(3_600):
        page = customer.get("/customer/leave").text
        if found := LINK.search(page):
            return found[1]
        assert 'http-equiv="refresh"' in page, "it says that it is being made"
        Event().wait(0.05)
    raise AssertionError("no archive after three minutes")


def test_p20_the_page_makes_the_archive_and_offers_it(customer: TestClient) -> None:
    assert not LINK.search(customer.get("/customer/leave").text)
    answer = customer.get(made(customer))
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/zip")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as file:
        assert {"index.jsonld", "agreement.json", "data/customer.json"} <= {*file.namelist()}


def test_p21_a_download_that_broke_off_goes_on_where_it_was(customer: TestClient) -> None:
    where = made(customer)
    whole = customer.get(where)
    tag = whole.headers["etag"]
    first = customer.get(where, headers={"Range": "bytes=0-999", "Accept-Encoding": "gzip"})
    rest = customer.get(where, headers={"Range": "bytes=1000-", "If-Range": tag})
    assert (first.status_code, rest.status_code) == (206, 206)
    assert first.content + rest.content == whole.content
    assert first.headers["content-range"] == f"bytes 0-999/{len(whole.content)}"
    beyond = customer.get(where, headers={"Range": f"bytes={len(whole.content)}-"})
    assert beyond.status_code == 416
    other = customer.get(where, headers={"Range": "bytes=1000-", "If-Range": '"other"'})
    assert (other.status_code, other.content) == (200, whole.content)


def test_p21_the_name_works_without_a_session_and_ends(
    customer: TestClient, product: Product, clock: Clock
) -> None:
    where = made(customer)
    with browser(product, clock) as stranger:
        assert stranger.get(where).status_code == 200
        clock.advance(hours=24)
        assert stranger.get(where).status_code == 404
    assert not LINK.search(customer.get("/customer/leave", follow_redirects=True).text)


def test_p21_a_name_that_was_not_made_here_opens_nothing(customer: TestClient) -> None:
    where = made(customer)
    _, _, folder, name = where.split("/")
    expiry, digest, rest = name.split("-")
    names = {
        "a later end": f"/archive/{folder}/{int(expiry) + 1}-{digest}-{rest}",
        "another digest": f"/archive/{folder}/{expiry}-{'0' * 32}-{rest}",
        "another mac": f"/archive/{folder}/{expiry}-{digest}-{'0' * 32}.zip",
        "another folder": f"/archive/{'0' * 48}/{name}",
        "up": f"/archive/{folder}/..%2f..%2fledger.sqlite",
        "no name": f"/archive/{folder}/hello",
    }
    for why, address in names.items():
        assert customer.get(address).status_code == 404, why


def test_p21_of_one_customer_the_newest_three_are_kept(product: Product) -> None:
    kept = ArchiveStore(product.home, bytes(32))
    names = [kept.put("0" * 48, b"%d" % n, START + timedelta(seconds=n)) for n in range(5)]
    found = [kept.find("0" * 48, name, START) is not None for name in names]
    assert found == [False, False, True, True, True]


def test_p21_what_expired_is_deleted_when_the_portal_starts(product: Product) -> None:
    ArchiveStore(product.home, bytes(32)).put("0" * 48, b"one", START - timedelta(days=400))
    leaving.builds(product, START)
    assert not [*(product.home / store.READY).rglob("*.zip")]


def test_p21_what_expired_is_deleted_with_the_next(product: Product, clock: Clock) -> None:
    kept = ArchiveStore(product.home, bytes(32))
    kept.put("0" * 48, b"one", START)
    kept.put("1" * 48, b"two", START + timedelta(hours=25))
    names = [path.parent.name for path in (product.home / "archives").rglob("*.zip")]
    assert names == ["1" * 48]


def test_p20_so_many_at_once_and_no_more(product: Product) -> None:
    made = (product.home, product.ledger, product.source, product.scenes, Slow())
    held = CustomerRecords(*made, catalogue.load())
    builds = building.Builds(held, ArchiveStore(product.home, bytes(32)))
    running = [builds.begin(f"c{n:05d}", START) for n in range(1, building.MAX_RUNNING + 1)]
    assert builds.begin("c00001", START) is running[0], "one at a time for each customer"
    with pytest.raises(building.ArchiveBusyError):
        builds.begin("c00009", START)
    Slow.done.set()
    assert builds.of("c00009") is None


class Slow:
    """A table that answers when it is told to."""

    done = Event()

    def row(self, _subject: str, _columns: object) -> None:
        self.done.wait(180)


def test_p20_a_failure_is_said(customer: TestClient, product: Product) -> None:
    (product.home / "consent.policy").unlink()
    customer.post("/customer/leave/archive")
    for _ in range(100):
        page = customer.get("/customer/leave").text
        if "could not be made" in page:
            return
        Event().wait(0.05)
    raise AssertionError("the page says nothing")


def test_p22_one_entry_is_erased_in_two_steps_and_told_before(
    customer: TestClient, product: Product, clock: Clock
) -> None:
    granted = product.ledger.history(ME)[0]
    assert isinstance(granted.event.act, Granted)
    say(product, clock, Withdrawn(granted.event.act.scene))
    customer.get("/customer/history")
    page = customer.get("/customer/leave").text
    assert f"/customer/leave/entries/{granted.index}" in page
    told = customer.get(f"/customer/leave/entries/{granted.index}").text
    assert "What goes" in told
    assert "What stays" in told
    assert granted.index in {each.index for each in product.ledger.history(ME)}, "a GET erases none"
    assert customer.post(f"/customer/leave/entries/{granted.index}").status_code == 200
    assert granted.index not in {each.index for each in product.ledger.history(ME)}
    shown = customer.get("/customer/history").text
    assert f"/customer/receipts/{granted.index}" not in shown
    assert customer.get(f"/customer/receipts/{granted.index}").status_code == 404


def test_p22_an_entry_in_force_or_of_another_is_not_offered_and_refused(
    customer: TestClient, product: Product
) -> None:
    last = product.ledger.history(ME)[-1].index
    assert f"/customer/leave/entries/{last}" not in customer.get("/customer/leave").text
    assert customer.post(f"/customer/leave/entries/{last}").status_code == 409
    theirs = product.ledger.history("c00008")[0].index
    assert customer.get(f"/customer/leave/entries/{theirs}").status_code == 404
    assert customer.post(f"/customer/leave/entries/{theirs}").status_code == 404
    assert len(product.ledger.history("c00008")) > 0


def test_p23_leaving_is_told_first_ends_every_grant_and_erases_after_72_hours(
    customer: TestClient, product: Product, clock: Clock
) -> None:
    page = customer.get("/customer/leave/everything").text
    for words in ("What goes", "What stays", "What you could do instead"):
        assert words in page
    before = product.ledger.version(ME)
    answer = leave(customer)
    assert (answer.status_code, "You are leaving" in answer.text) == (200, True)
    assert product.ledger.version(ME) > before
    assert allowed(product) == []
    assert "You are leaving" in customer.get("/customer").text
    job = departures.Leaving(product)
    clock.advance(hours=71)
    job.run(clock())
    assert product.ledger.history(ME)
    clock.advance(hours=1)
    job.run(clock())
    assert product.ledger.history(ME) == []
    assert product.ledger.size, "the log stays"
    assert Departures(product.home).waiting() == []
    assert customer.get("/customer", follow_redirects=False).status_code == 303


def test_p26_without_the_word_or_a_fresh_sign_in_nothing_happens(
    customer: TestClient, product: Product, clock: Clock
) -> None:
    before = product.ledger.version(ME)
    assert leave(customer, word="earse").status_code == 400
    clock.advance(minutes=5)
    answer = leave(customer)
    assert (answer.status_code, "last five minutes" in answer.text) == (403, True)
    assert product.ledger.version(ME) == before
    assert Departures(product.home).of(ME) is None


def test_p27_it_is_stopped_by_a_fresh_sign_in_and_what_ended_stays_off(
    customer: TestClient, product: Product, clock: Clock
) -> None:
    leave(customer)
    clock.advance(minutes=5)
    assert customer.post("/customer/leave/everything/stop").status_code == 403
    assert Departures(product.home).of(ME) is not None
    sign_in(customer, ME)
    assert customer.post("/customer/leave/everything/stop").status_code == 200
    clock.advance(hours=80)
    departures.Leaving(product).run(clock())
    assert product.ledger.history(ME)
    assert allowed(product) == []


def test_p27_nothing_is_allowed_while_it_waits(
    customer: TestClient, product: Product, clock: Clock
) -> None:
    leave(customer)
    form = {
        "version": str(product.ledger.version(ME)),
        "words": wording.token(product.scenes["segmentation"], i18n.load()["en"]),
    }
    answer = customer.post("/customer/scenes/segmentation/allow", data=form)
    assert (answer.status_code, "You are leaving" in answer.text) == (409, True)
    say(product, clock, Granted("segmentation", ("age",), None))  # as by an import
    departures.Leaving(product).run(clock())
    assert allowed(product) == []


def test_p27_no_press_that_was_on_its_way_is_recorded_after_the_request(
    customer: TestClient, product: Product, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two devices: one press is past every check when the other device asks to leave."""
    pressed, record, asked = Event(), acts.record, Event()

    def slowly(*arguments: Any) -> None:
        pressed.set()
        asked.wait(0.5)  # with one after the other, the request waits for this press
        record(*arguments)

    monkeypatch.setattr(acts, "record", slowly)
    had = {*allowed(product)}
    scene = next(each for each in product.scenes.values() if not each.locked and each.id not in had)
    form = {
        "version": str(product.ledger.version(ME)),
        "words": wording.token(scene, i18n.load()["en"]),
    }

    def ask() -> None:
        with browser(product, clock, customer.app) as other:
            sign_in(other, ME)
            assert pressed.wait(180)
            leave(other)
        asked.set()

    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(ask)
        customer.post(f"/customer/scenes/{scene.id}/allow", data=form)
        asking.result()
    assert Departures(product.home).of(ME) is not None
    assert allowed(product) == []


def test_p25_whoever_never_gave_an_instruction_leaves_too_and_twice(
    visitor: TestClient, product: Product, clock: Clock
) -> None:
    silent = "c00050"
    assert product.ledger.version(silent) == 0
    for _ in range(2):
        sign_in(visitor, silent)
        assert leave(visitor).status_code == 200
        clock.advance(hours=72)
        departures.Leaving(product).run(clock())
        assert silent not in product.ledger.numbers([silent])
        assert visitor.get("/customer", follow_redirects=False).status_code != 200
    assert Departures(product.home).waiting() == []
    assert b"c00050" not in (product.home / "keys" / "customers.db").read_bytes()


def test_p23_every_device_is_signed_out(product: Product, clock: Clock) -> None:
    with browser(product, clock) as first:
        sign_in(first, ME)
        leave(first)
        clock.advance(hours=72)
        sign_in(first, ME)
        departures.Leaving(product).run(clock())
        assert first.get("/customer", follow_redirects=False).status_code == 303


def test_p23_archives_go_too(customer: TestClient, product: Product, clock: Clock) -> None:
    leave(customer)
    clock.advance(hours=72)
    sign_in(customer, ME)
    where = made(customer)
    departures.Leaving(product).run(clock())
    assert customer.get(where).status_code == 404
    assert not [*(product.home / store.READY).rglob("*.zip")]


def test_p23_the_gate_answers_nothing_that_rests_on_consent(
    customer: TestClient, product: Product
) -> None:
    scene = product.scenes["lead-scoring"]
    asked = ReadRequest(scene.services[0].id, scene.id, ME, tuple(scene.fields)[:1], START)
    leave(customer)
    assert "personal" not in {str(view) for view in product.gate.decide(asked).views.values()}


def test_p24_a_hold_says_why_not_and_keeps_the_request(
    customer: TestClient, product: Product, clock: Clock
) -> None:
    holds = Holds(product.register())
    holds.set(ME, "data-protection-officer", "a claim is open", START)
    assert "a claim is open" in customer.get("/customer/leave/everything").text
    answer = leave(customer)
    assert (answer.status_code, "as soon as" in answer.text) == (200, True)
    assert allowed(product) == []
    entry = product.ledger.history(ME)[0].index
    assert customer.post(f"/customer/leave/entries/{entry}").status_code == 409
    clock.advance(hours=72)
    departures.Leaving(product).run(clock())
    assert product.ledger.history(ME)
    holds.lift(ME, "data-protection-officer", "settled", clock())
    departures.Leaving(product).run(clock())
    assert product.ledger.history(ME) == []


def leave(customer: TestClient, word: str = "erase") -> Response:
    return customer.post("/customer/leave/everything", data={"word": word})


def allowed(product: Product) -> list[str]:
    state = product.ledger.state(ME)
    scenes = state.scenes.items() if state else ()
    return [name for name, each in scenes if isinstance(each, SceneConsent)]


@pytest.mark.parametrize(
    "page", ["/customer/leave", "/customer/leave/everything", "/customer/leave/entries/0"]
)
def test_p20_nobody_sees_it_who_is_not_signed_in(page: str, visitor: TestClient) -> None:
    assert visitor.get(page, follow_redirects=False).status_code == 303


def test_p20_it_is_there_in_chinese(customer: TestClient) -> None:
    for page in ("/customer/leave", "/customer/leave/everything"):
        assert "注销" in customer.get(page, headers={"Accept-Language": "zh-CN"}).text


def test_p20_an_application_has_its_own_builds(product: Product) -> None:
    assert leaving.builds(product, START).of(ME) is None
