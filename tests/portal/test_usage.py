"""specs/portal.md, 4.6: a service sees what it may read and has read, and nothing of others."""

from pathlib import Path

from starlette.testclient import TestClient

from gate.decision.quota import Quota
from portal.operations import release_service
from portal.operations.wiring import Product
from portal.web import i18n
from synthetic.completion.mode import Mode
from tests.portal.conftest import START, Clock, browser, copy

ANALYTICS = {"Authorization": "Bearer demo-analytics"}
MODE = Mode.RELEASE_ANCHORED
FORM = {"service": "analytics", "scene": "segmentation", "customer": "c00007"}
ASKED = {"scene": "segmentation", "customer": "c00007", "fields": ["age"]}


def usage(client: TestClient, service: str = "analytics") -> dict[str, list[dict[str, object]]]:
    answer = client.get("/v1/usage", headers={"Authorization": f"Bearer demo-{service}"})
    assert answer.status_code == 200, answer.text
    found: dict[str, list[dict[str, object]]] = answer.json()
    return found


def test_what_was_read_is_counted_beside_the_quota(seeded: Path, tmp_path: Path) -> None:
    quota = Quota(points_per_minute=100, rows_per_day=1000)
    product = copy(seeded, tmp_path / "home", quota={"analytics/segmentation": quota})
    visitor = browser(product, Clock())
    for _ in range(3):
        assert visitor.post("/v1/read", json=ASKED, headers=ANALYTICS).status_code == 200
    (line,) = [each for each in usage(visitor)["quotas"] if each["scene"] == "segmentation"]
    assert 1 <= int(str(line["points"])) <= 3  # a minute may have ended in between
    assert (line["points_per_minute"], line["rows"], line["rows_per_day"]) == (100, 0, 1000)


def test_the_last_answers_are_its_own_newest_first(visitor: TestClient) -> None:
    for scene in ("segmentation", "no-such-scene"):
        visitor.post("/v1/read", json=ASKED | {"scene": scene}, headers=ANALYTICS)
    visitor.post("/v1/read", json=ASKED, headers={"Authorization": "Bearer demo-crm"})
    answers = usage(visitor)["answers"]
    assert [each["scene"] for each in answers][:2] == ["no-such-scene", "segmentation"]
    assert answers[0]["reason"] == "unknown-scene"
    assert "subject" not in answers[1]
    assert usage(visitor, "sales-desk")["answers"] == []


def test_without_a_token_nothing_is_told(visitor: TestClient) -> None:
    assert visitor.get("/v1/usage").status_code == 401


def test_the_developers_page_shows_it_of_the_service_that_was_tried(visitor: TestClient) -> None:
    page = visitor.post("/docs", data=FORM).text
    assert "What analytics may read and has read" in page
    assert 'id="answers-title"' in page


def test_the_developers_page_lists_a_batch_as_one_answer(visitor: TestClient) -> None:
    one = {
        "subject": {"type": "service", "id": "analytics"},
        "action": {"name": "read"},
        "resource": {"type": "customer", "id": "c00007"},
        "context": {"scene": "segmentation", "fields": ["age"]},
    }
    asked = {"evaluations": [one, one]}
    answer = visitor.post("/access/v1/evaluations", json=asked, headers=ANALYTICS)
    assert answer.status_code == 200
    page = visitor.post("/docs", data=FORM)
    assert page.status_code == 200
    assert "<code>batch</code>" in page.text


def test_a_table_stands_there_with_how_it_was_completed(
    product: Product, visitor: TestClient
) -> None:
    release_service.release(product, product.scenes["segmentation"], START)
    asked = {"scene": "segmentation", "fields": ["age", "job"]}
    answer = visitor.post("/v1/table", json=asked, headers=ANALYTICS | {"Accept": "text/csv"})
    assert answer.status_code == 200, answer.text
    assert answer.headers["Sovereign-Completion"].startswith("release-anchored;release=")
    line = usage(visitor)["answers"][0]
    anchor = product.gate.served("segmentation").anchor
    assert anchor is not None
    assert (line["action"], line["mode"], line["release"]) == ("table", MODE, anchor.id)
    for language, words in i18n.load().items():
        page = visitor.post("/docs", data=FORM, headers={"Accept-Language": language}).text
        assert f"<code>granted</code> {words.say('completion.' + MODE)}" in page
        assert words.say("docs.completion", mode=words.say("completion." + MODE)) in page
