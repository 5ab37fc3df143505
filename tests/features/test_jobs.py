"""The jobs of a served product, each while another one is made to fail (section 13 of
specs/portal.md)."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import duckdb
import httpx
import pytest

from tests.features.served_jobs import PATIENCE_S, SCENE, Served, bank, hook, serving, sovereign
from tests.features.served_jobs import until as wait_until
from tests.steward.change.receiver import Receiver, listening, nobody

OTHER_SCENE = "ai-training"
FRESH = "recommendation"  # nobody decided about it
QUICK = {"anchoring": 1.0, "publication": 1.0, "refits": 1.0}


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with listening() as made:
        yield made


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bank(tmp_path_factory.mktemp("bank"))


@pytest.fixture(scope="module")
def home(seeded: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`steward.toml` is misspelt, and one scene has an interrupted fit that always fails."""
    made = Path(shutil.copytree(seeded, tmp_path_factory.mktemp("served") / "home"))
    (made / "steward.toml").write_text(hook("https://crm.example", key="ur"))
    (made / "fits" / f"{OTHER_SCENE}.json").mkdir(parents=True)
    return made


@pytest.fixture(scope="module")
def served(home: Path) -> Iterator[Served]:
    with serving(home, **QUICK) as running:
        yield running


def test_a_misspelt_steward_toml_is_named_and_stops_only_the_notices(served: Served) -> None:
    wait_until(lambda: served.job("delivery")["failures"])
    known = served.jobs()["jobs"]
    assert (
        "webhook.crm.ur: unknown key, want roles or url; did you mean url?"
        in (known["delivery"]["error"])
    )
    wait_until(lambda: served.job("contract-checks")["last_success"])
    assert (served.home / "health.sqlite").exists()
    wait_until(served.published_size)
    assert served.job("cases")["status"] == "ok"


def test_a_release_is_fitted_though_another_scene_fails_first(served: Served) -> None:
    address = f"{served.address}/releases/{SCENE}.json"
    wait_until(lambda: httpx.get(address, timeout=PATIENCE_S).status_code == 200)
    assert httpx.get(address, timeout=PATIENCE_S).json()["fitted_at"].endswith("Z")
    known = served.jobs()["jobs"]["refits"]
    assert known["error"].startswith(f"{OTHER_SCENE}: ")
    assert "next attempt" in known["error"]


def test_the_public_answer_names_no_error_and_says_when_somebody_should_look(
    served: Served,
) -> None:
    wait_until(lambda: served.health()["status"] == "degraded")
    health = served.health()
    assert health["jobs"]["delivery"]["status"] == "failing"
    assert "unknown key" not in json.dumps(health)
    assert sovereign("jobs", "--data-dir", str(served.home)).returncode == 1


def test_the_desk_shows_the_jobs(served: Served) -> None:
    headers = {"Sec-Fetch-Site": "same-origin", "Accept": "text/html"}
    with httpx.Client(base_url=served.address, headers=headers, timeout=PATIENCE_S) as desk:
        desk.post("/desk/login", data={"role": "account-manager"})
        assert 'href="/desk/jobs"' in desk.get("/desk").text
        page = desk.get("/desk/jobs").text
    assert "unknown key" in page
    assert "fails repeatedly" in page


def test_a_withdrawal_sends_its_notice_while_the_logs_cannot_be_written(
    served: Served, receiver: Receiver
) -> None:
    (served.home / "log").rename(served.home / "log.away")
    (served.home / "log").write_text("a file where the folder should be")
    served.withdraw("c00007")
    (served.home / "steward.toml").write_text(hook(receiver.url))
    wait_until(lambda: receiver.heard)
    event = json.loads(receiver.bodies()[0])
    assert (event["data"]["scene"], event["data"]["kind"]) == (SCENE, "withdrawal")
    wait_until(lambda: served.job("publication")["failures"])
    assert served.job("delivery")["status"] == "ok"
    (served.home / "log").unlink()
    (served.home / "log.away").rename(served.home / "log")


def test_the_logs_are_published_while_the_receiver_is_down(served: Served) -> None:
    (served.home / "steward.toml").write_text(hook(nobody()))
    size = served.published_size()
    served.press("allow", "c00008", FRESH)
    served.withdraw("c00008", FRESH)  # the scene's first: a case is opened and announced
    wait_until(lambda: served.published_size() > size)
    wait_until(served.tried_in_vain)


def test_a_source_that_cannot_be_read_stops_only_the_checks(
    seeded: Path, receiver: Receiver, tmp_path: Path
) -> None:
    home, heard = Path(shutil.copytree(seeded, tmp_path / "home")), len(receiver.heard)
    with duckdb.connect(home / "customers.duckdb") as source:
        source.execute("ALTER TABLE delivery DROP COLUMN arrived")
    (home / "steward.toml").write_text(hook(receiver.url))
    with serving(home, anchoring=1, publication=1) as served:
        wait_until(lambda: served.job("contract-checks")["failures"])
        size = served.published_size()
        served.withdraw("c00009")
        wait_until(lambda: len(receiver.heard) > heard)
        wait_until(lambda: served.published_size() > size)
        assert "source" in served.jobs()["jobs"]["contract-checks"]["error"]
        assert served.job("cases")["status"] == served.job("delivery")["status"] == "ok"
    stopped = sovereign("jobs", "--json", "--data-dir", str(home))
    assert stopped.returncode == 1
    assert {each["health"] for each in json.loads(stopped.stdout)["jobs"].values()} == {"stopped"}
