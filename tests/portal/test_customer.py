"""Clauses 3.1 to 3.12 of specs/portal.md: what a customer can do, with and without JavaScript."""

import re
from datetime import timedelta

import pytest
from starlette.testclient import TestClient

from gate.reads.request import ReadRequest
from ledger.events.envelope import EvidenceClass, Granted, Instruction, Withdrawn
from ledger.events.reducer import SceneConsent, SceneWithdrawal
from ledger.verify.cli import main as verify
from portal.consent import wording
from portal.operations.wiring import Product
from portal.web import i18n
from tests.portal.conftest import Clock, sign_in

ME = "c00007"
SCENE = "segmentation"  # which c00007 has not allowed
ALLOWED = "nearest-branch"  # which c00007 has


def press(
    client: TestClient, product: Product, path: str, *, version: int | None = None, **form: str
) -> tuple[int, str]:
    """Press a button as the page shows it: `scene/wish` or `scene/items/item/wish`."""
    scene = product.scenes[path.split("/", maxsplit=1)[0]]
    shown = {
        "version": str(product.ledger.version(ME) if version is None else version),
        "words": wording.token(scene, i18n.load()["en"]),
        "back": "centre",
    }
    answer = client.post(f"/customer/scenes/{path}", data=shown | form)
    return answer.status_code, answer.text


def held(product: Product, scene: str) -> SceneConsent | SceneWithdrawal | None:
    state = product.ledger.state(ME)
    return state.scenes.get(scene) if state else None


@pytest.mark.usefixtures("still")
def test_the_centre_shows_all_twelve_scenes_with_consequence_and_alternative(
    customer: TestClient, product: Product
) -> None:
    page = customer.get("/customer").text
    for scene in product.scenes.values():
        for text in (scene.title, scene.summary, scene.consequence, scene.alternative):
            assert text["en"] in page
    assert page.count('aria-pressed="true"') == 11  # of twelve switches one is partly allowed
    assert page.count('aria-pressed="false"') == 13


@pytest.mark.usefixtures("still")
def test_the_same_page_is_there_in_chinese(customer: TestClient, product: Product) -> None:
    customer.post("/language", data={"language": "zh-CN", "next": "/customer"})
    page = customer.get("/customer").text
    assert '<html lang="zh-CN" dir="ltr"' in page
    assert all(scene.consequence["zh-CN"] in page for scene in product.scenes.values())


def test_one_press_allows_a_scene_with_every_field(customer: TestClient, product: Product) -> None:
    status, page = press(customer, product, f"{SCENE}/allow")
    now = held(product, SCENE)
    assert status == 200
    assert "Recorded: allowed." in page
    assert isinstance(now, SceneConsent)
    assert now.fields == product.scenes[SCENE].fields.keys()


def test_one_press_withdraws_a_scene(customer: TestClient, product: Product) -> None:
    status, page = press(customer, product, f"{ALLOWED}/withdraw")
    assert status == 200
    assert "This applies from now on." in page
    assert isinstance(held(product, ALLOWED), SceneWithdrawal)


def test_after_a_withdrawal_the_gate_reads_no_personal_data(
    customer: TestClient, product: Product, clock: Clock
) -> None:
    request = ReadRequest("branch-finder", ALLOWED, ME, ("location", "postcode_area"), clock())
    assert product.gate.read(request).values["location"] is not None
    press(customer, product, f"{ALLOWED}/withdraw")
    assert set(product.gate.read(request).values.values()) == {None}


def test_the_instruction_carries_the_words_shown_and_the_evidence_class(
    customer: TestClient, product: Product
) -> None:
    press(customer, product, f"{SCENE}/allow")
    said = product.ledger.history(ME)[-1].event
    assert isinstance(said, Instruction)
    assert said.wording == wording.wording(product.scenes[SCENE], i18n.load()["en"])
    assert said.evidence is EvidenceClass.SESSION


def test_an_item_can_be_withdrawn_and_allowed_by_itself(
    customer: TestClient, product: Product
) -> None:
    press(customer, product, f"{ALLOWED}/items/location/withdraw")
    now = held(product, ALLOWED)
    assert isinstance(now, SceneConsent)
    assert now.fields == {"postcode_area"}
    assert "1 of 2 details allowed" in customer.get("/customer").text
    press(customer, product, f"{ALLOWED}/items/location/allow")
    now = held(product, ALLOWED)
    assert isinstance(now, SceneConsent)
    assert now.fields == {"postcode_area", "location"}


def test_allowing_one_item_of_a_refused_scene_allows_only_that(
    customer: TestClient, product: Product
) -> None:
    press(customer, product, f"{SCENE}/items/age/allow")
    now = held(product, SCENE)
    assert isinstance(now, SceneConsent)
    assert now.fields == {"age"}


def test_withdrawing_the_last_item_withdraws_the_scene(
    customer: TestClient, product: Product
) -> None:
    press(customer, product, f"{SCENE}/items/age/allow")
    press(customer, product, f"{SCENE}/items/age/withdraw")
    assert isinstance(held(product, SCENE), SceneWithdrawal)


@pytest.mark.usefixtures("still")
def test_pressing_what_already_holds_records_nothing(
    customer: TestClient, product: Product
) -> None:
    version = product.ledger.version(ME)
    status, page = press(customer, product, f"{ALLOWED}/allow", version=version - 1)
    assert status == 200
    assert "Nothing to change." in page
    assert product.ledger.version(ME) == version


def test_a_stale_page_is_answered_409_and_records_nothing(
    customer: TestClient, product: Product
) -> None:
    stale = product.ledger.version(ME)
    press(customer, product, f"{ALLOWED}/withdraw")
    status, page = press(customer, product, f"{ALLOWED}/allow", version=stale)
    assert status == 409
    assert "Your decisions have changed meanwhile" in page
    assert f'name="version" value="{stale + 1}"' in page  # the merge page decides again
    assert product.ledger.version(ME) == stale + 1


def test_a_program_is_told_the_current_version(customer: TestClient, product: Product) -> None:
    stale = product.ledger.version(ME)
    press(customer, product, f"{ALLOWED}/withdraw")
    form = {
        "version": str(stale),
        "words": wording.token(product.scenes[ALLOWED], i18n.load()["en"]),
    }
    answer = customer.post(
        f"/customer/scenes/{ALLOWED}/allow", data=form, headers={"Accept": "application/json"}
    )
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "urn:sovereign:problem:version-conflict"
    assert answer.json()["version"] == stale + 1


def test_undo_appends_the_reversing_entry(
    customer: TestClient, product: Product, clock: Clock
) -> None:
    before = held(product, ALLOWED)
    _, page = press(customer, product, f"{ALLOWED}/withdraw")
    assert f"/customer/scenes/{ALLOWED}/undo" in page
    clock.advance(minutes=9)
    assert f"/customer/scenes/{ALLOWED}/undo" in customer.get("/customer").text
    press(customer, product, f"{ALLOWED}/undo")
    after = held(product, ALLOWED)
    assert isinstance(before, SceneConsent)
    assert isinstance(after, SceneConsent)
    assert (after.fields, after.until) == (before.fields, before.until)
    acts = [type(each.event.act) for each in product.ledger.history(ME)[-2:]]
    assert acts[0] is Withdrawn


def test_what_was_dismissed_is_not_undone(customer: TestClient, product: Product) -> None:
    press(customer, product, f"{ALLOWED}/withdraw")
    version = product.ledger.version(ME)
    customer.post("/customer/notice/dismiss", data={"scene": ALLOWED})
    assert "/undo" not in customer.get("/customer").text
    _, page = press(customer, product, f"{ALLOWED}/undo")
    assert "can no longer be undone" in page
    assert product.ledger.version(ME) == version


def test_an_undo_gives_no_permission_again_that_would_have_ended(
    customer: TestClient, product: Product, clock: Clock
) -> None:
    """The session that offers it lasts for hours; the permission may have had minutes left."""
    fields = (*product.scenes[ALLOWED].fields,)
    said = wording.wording(product.scenes[ALLOWED], i18n.load()["en"])
    until = clock() + timedelta(minutes=10)
    act, evidence = Granted(ALLOWED, fields, until), EvidenceClass.SESSION
    product.ledger.record(
        [product.ledger.draft(ME, act, at=clock(), wording=said, evidence=evidence)]
    )
    press(customer, product, f"{ALLOWED}/withdraw")
    version = product.ledger.version(ME)
    clock.advance(minutes=10)
    _, page = press(customer, product, f"{ALLOWED}/undo")
    assert "can no longer be undone" in page
    assert product.ledger.version(ME) == version


def test_undo_takes_nothing_back_in_another_scene(customer: TestClient, product: Product) -> None:
    press(customer, product, f"{ALLOWED}/withdraw")
    version = product.ledger.version(ME)
    press(customer, product, f"{SCENE}/undo")
    assert product.ledger.version(ME) == version


def test_a_script_is_answered_with_the_fragment_that_changed(
    customer: TestClient, product: Product
) -> None:
    customer.headers["HX-Request"] = "true"
    status, fragment = press(customer, product, f"{ALLOWED}/withdraw")
    assert status == 200
    assert fragment.lstrip().startswith(f'<article id="{ALLOWED}"')
    assert "<html" not in fragment
    assert fragment.count("hx-swap-oob") == 2  # the overview, and the version of the agreement
    assert f'value="{product.ledger.version(ME)}"' in fragment


def test_every_permission_ends_no_later_than_its_contract_allows(
    customer: TestClient, product: Product, clock: Clock
) -> None:
    press(customer, product, f"{SCENE}/allow")
    longest = product.scenes[SCENE].longest.days
    request = ReadRequest("analytics", SCENE, ME, ("age",), clock())
    assert product.gate.read(request).decision.allowed
    clock.advance(days=longest)
    sign_in(customer, ME)
    assert "Your permission has run out." in customer.get("/customer").text
    late = ReadRequest("analytics", SCENE, ME, ("age",), clock())
    assert not product.gate.read(late).decision.allowed


def test_a_receipt_verifies_offline(
    customer: TestClient, product: Product, capsys: pytest.CaptureFixture[str]
) -> None:
    _, page = press(customer, product, f"{ALLOWED}/withdraw")
    link = re.search(r"/customer/receipts/(\d+)", page)
    assert link is not None
    answer = customer.get(link[0])
    assert answer.headers["content-disposition"].startswith("attachment")
    path = product.home / "mine.tlog-proof"
    path.write_bytes(answer.content)
    assert verify([str(path), "--key", str(product.home / "keys" / "consent.vkey")]) == 0
    assert ALLOWED in capsys.readouterr().out


def test_the_history_names_every_decision_and_its_receipt(
    customer: TestClient, product: Product
) -> None:
    press(customer, product, f"{ALLOWED}/withdraw")
    press(customer, product, f"{SCENE}/items/age/allow")
    page = customer.get("/customer/history").text
    assert page.count('<p class="did">') == product.ledger.version(ME)
    assert "<bdi>Segmentation and trends</bdi>, only Age" in page
    assert "decided while signed in" in page
    indexes = [each.index for each in product.ledger.history(ME)]
    assert all(f"/customer/receipts/{index}" in page for index in indexes)


def test_every_read_is_shown_refusals_and_synthetic_answers_too(
    customer: TestClient, product: Product, clock: Clock
) -> None:
    for service, scene in (("branch-finder", ALLOWED), ("sales-desk", SCENE)):
        fields = (*product.scenes[scene].fields,)
        product.gate.read(ReadRequest(service, scene, ME, fields, clock()))
    page = customer.get("/customer/reads").text
    assert "Branch finder in the app" in page
    assert "Refused" in page
    assert "This data page" in page  # signing in read the name, and says so


@pytest.mark.usefixtures("still")
def test_the_map_shows_every_item_and_picks_out_its_path(
    customer: TestClient, product: Product
) -> None:
    page = customer.get("/customer/map").text
    assert all(item.title["en"] in page for item in product.source.items.values())
    picked = customer.get("/customer/map?item=location").text
    assert picked.count("<tr>") == 2  # the head, and the one scene that uses it
    assert customer.get("/customer/map?item=shoe-size").status_code == 200


UNKNOWN = {
    "scene": ("/customer/scenes/no-such-scene/allow", 404, "There is no such use"),
    "item": (f"/customer/scenes/{SCENE}/items/shoe_size/allow", 404, "has no such detail"),
    "wish": (f"/customer/scenes/{SCENE}/maybe", 400, "could not read that request"),
    "page": ("/customer/nothing", 404, "There is nothing here"),
    "locked scene": ("/customer/scenes/contract-service/withdraw", 403, "part of the contract"),
}


@pytest.mark.usefixtures("still")
@pytest.mark.parametrize(("path", "status", "words"), UNKNOWN.values(), ids=UNKNOWN.keys())
def test_what_is_not_there_is_a_clear_problem(
    customer: TestClient, product: Product, path: str, status: int, words: str
) -> None:
    form = {"version": "0", "words": wording.token(product.scenes[SCENE], i18n.load()["en"])}
    answer = customer.post(path, data=form)
    assert (answer.status_code, words in answer.text) == (status, True)
    answer = customer.post(path, data=form, headers={"Accept": "application/json"})
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status
    assert answer.json()["detail"]


MALFORMED = {
    "no version": {"words": "en.00"},
    "no words": {"version": "1"},
    "version is a word": {"version": "one", "words": "en.00"},
    "version is negative": {"version": "-1", "words": "en.00"},
    "version is huge": {"version": "9" * 400, "words": "en.00"},
    "version in other digits": {"version": "１", "words": "en.00"},
}


@pytest.mark.usefixtures("still")
@pytest.mark.parametrize("form", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_form_is_refused_and_records_nothing(
    customer: TestClient, product: Product, form: dict[str, str]
) -> None:
    version = product.ledger.version(ME)
    known = (
        {"words": wording.token(product.scenes[SCENE], i18n.load()["en"])}
        if "words" in form
        else {}
    )
    answer = customer.post(f"/customer/scenes/{SCENE}/allow", data=form | known)
    assert answer.status_code == 400
    assert product.ledger.version(ME) == version


@pytest.mark.usefixtures("still")
def test_words_that_have_changed_are_not_decided_upon(
    customer: TestClient, product: Product
) -> None:
    old = "en." + "0" * 64
    status, page = press(customer, product, f"{SCENE}/allow", words=old)
    assert status == 409
    assert "The description of this use has changed" in page
    assert held(product, SCENE) is None
