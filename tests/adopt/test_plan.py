"""A scene is widened: planned, refused, applied, and asked again, as it is served (C9 to C12)."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest
import yaml

from tests.features.served import Site, done, sovereign, views

TELCO = Path(__file__).parents[2] / "examples" / "telco"
SCENE, FIELDS = "statistics", ["contract", "tenure"]
WIDENED = "We have widened this use since you allowed it."


@dataclass(frozen=True, slots=True)
class Telco:
    """`allowing`: customers who allow the scene. `refusing`: one who allowed and withdrew."""

    site: Site
    company: Path
    allowing: list[str]
    refusing: str

    def run(self, command: str, *words: str) -> tuple[int, str]:
        """Exit status and all that is printed."""
        ran = sovereign(command, "--company", self.company, "--data-dir", self.site.home, *words)
        return ran.returncode, ran.stdout + ran.stderr

    def scenes(self) -> dict[str, dict[str, object]]:
        _, printed = self.run("plan", "--json")
        return {each["scene"]: each for each in json.loads(printed)["scenes"]}


@pytest.fixture(scope="module")
def telco(tmp_path_factory: pytest.TempPathFactory) -> Telco:
    """Served once: four customers allowed the statistics, and one of them withdrew."""
    folder = tmp_path_factory.mktemp("planned")
    company, data = folder / "company", folder / "data"
    data.mkdir()
    rows, book = TELCO / "customers.csv", TELCO / "codebook.json"
    done("init", company, "--from", rows, "--codebook", book, "--origin", "telco.example/consent")
    done("check", company)
    ids = [line.partition(",")[0] for line in rows.read_text("utf-8").splitlines()[1:5]]
    site = Site(data, folder / "server.log", words=("--company", str(company), "--trial"))
    made = Telco(site, company, ids[:3], ids[3])
    assert made.run("plan")[0] == 1
    assert {each["change"] for each in made.scenes().values()} == {"new"}
    assert [*data.iterdir()] == []
    with site.serving():
        for each in ids:
            site.customer(each).switch(SCENE, "allow")
        site.customer(made.refusing).switch(SCENE, "withdraw")
        assert made.run("plan")[0] == 0
    widen(company)
    return made


def widen(company: Path) -> None:
    """Another service may read, from version 2 on."""
    path = company / "scenes" / f"{SCENE}.odcs.yaml"
    contract = yaml.safe_load(path.read_text("utf-8"))
    contract["version"] = "2.0.0"
    custom = contract["customProperties"]
    (services,) = (each["value"] for each in custom if each["property"] == "services")
    title = {"en": "Planning", "zh-CN": "规划"}
    services.append({"id": "planning", "title": title, "partner": False})
    custom.append({"property": "consentSince", "value": "2.0.0"})
    path.write_text(yaml.safe_dump(contract, allow_unicode=True, sort_keys=False), "utf-8")
    with (company / "services.toml").open("a", encoding="utf-8") as register:
        register.write(
            f'[planning]\ntitle = {{ en = "{title["en"]}", zh-CN = "{title["zh-CN"]}" }}\n'
        )
        register.write(f'partner = false\nscenes = ["{SCENE}"]\n')


def files(folder: Path) -> dict[str, str]:
    """The digest of every file; SQLite's empty side files come and go with a connection."""
    found = (each for each in folder.rglob("*") if each.is_file())
    return {
        str(each): sha256(each.read_bytes()).hexdigest()
        for each in found
        if not each.name.endswith(("-wal", "-shm"))
    }


@pytest.fixture(scope="module")
def asked_again(telco: Telco) -> Iterator[Telco]:
    """The same company, served again after `sovereign apply`."""
    code, printed = telco.run("plan")
    (digest,) = re.findall(r"^plan (\w{64})$", printed, re.MULTILINE)
    assert (code, telco.run("apply", "--plan", digest)[0]) == (1, 0)
    with telco.site.serving():
        yield telco


def test_c9_the_plan_counts_the_customers_who_must_agree_again(telco: Telco) -> None:
    before = telco.scenes()[SCENE]
    assert (before["change"], before["more"]) == ("widened", ["service planning"])
    assert (before["allowing"], before["must_agree_again"]) == (3, 3)


def test_c9_a_plan_writes_nothing(telco: Telco) -> None:
    before = files(telco.site.home)
    assert telco.run("plan")[0] == 1
    assert files(telco.site.home) == before


def test_c11_a_start_that_ends_consents_is_refused_and_says_what_to_do(telco: Telco) -> None:
    code, printed = telco.run("serve")
    assert code == 2
    assert f"{SCENE} (3 customers)" in printed
    assert "sovereign apply" in printed
    assert telco.scenes()[SCENE]["change"] == "widened"


def test_c10_what_was_applied_is_planned_no_more(asked_again: Telco) -> None:
    code, printed = asked_again.run("plan")
    assert (code, "nothing to publish" in printed) == (0, True)


def test_c10_customers_are_asked_again_and_nothing_is_read_until_they_agree(
    asked_again: Telco,
) -> None:
    site, subject = asked_again.site, asked_again.allowing[0]
    person = site.customer(subject)
    assert WIDENED in person.page(f"/customer/scenes/{SCENE}").html
    for service in ("analytics", "planning"):
        assert "personal" not in views(site.read(service, SCENE, subject, *FIELDS)).values()
    person.switch(SCENE, "allow")
    assert WIDENED not in person.page(f"/customer/scenes/{SCENE}").html
    assert views(site.read("planning", SCENE, subject, *FIELDS)) == dict.fromkeys(
        FIELDS, "personal"
    )


def test_c10_who_had_withdrawn_is_not_asked(asked_again: Telco) -> None:
    page = asked_again.site.customer(asked_again.refusing).page(f"/customer/scenes/{SCENE}")
    assert WIDENED not in page.html


def test_c10_a_running_server_publishes_nothing_that_it_does_not_serve(asked_again: Telco) -> None:
    assert asked_again.run("apply") == (2, "apply: stop the server first, then serve again\n")
