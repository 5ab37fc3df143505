"""Clauses 5.1 to 5.9 of specs/portal.md: languages, as readers of the served pages meet them."""

import re
import shutil
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import httpx
import pytest

from tests.features import added_language
from tests.features.added_language import BEGIN, END, TAG
from tests.features.catalogue import feature
from tests.features.served import Person, Site, done, sovereign
from tests.features.test_agents import REFUND
from tests.features.test_leaving import archive

CUSTOMERS = (
    "/customer",
    "/customer/map",
    "/customer/history",
    "/customer/reads",
    "/customer/scenes/segmentation",
    "/customer/keys",
    "/customer/leave",
)
OPEN = ("/", "/regulator", "/docs", "/verify", "/regulator/opening")
SCRIPTS = re.compile(r"<(script|style|pre|code|svg|template)\b.*?</\1>", re.DOTALL)
FOREIGN = re.compile(
    r"<(\w+) [^>]*\blang=\"[^\"]*\"[^>]*>[^<]*</\1>"
)  # marked as of another language
TEXT = re.compile(r">([^<>]+)<")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return added_language.company(tmp_path_factory.mktemp("languages") / "bank")


@pytest.fixture(scope="module")
def arabic(unserved: Path, folder: Path) -> Iterator[Site]:
    """The bank with a language that the product does not have."""
    home = shutil.copytree(unserved, folder.parent / "data")
    log = folder.parent / "log"
    with Site(home, log, words=("--company", str(folder))).serving() as served:
        yield served


def speaking(person: Person, language: str) -> Person:
    person.client.headers["Accept-Language"] = language
    return person


def shown(html: str) -> list[str]:
    """The texts of a page's body, without those of no language."""
    body = FOREIGN.sub("", SCRIPTS.sub("", html[html.index("<body") :]))
    texts = (unescape(each).strip() for each in TEXT.findall(body))
    return [each for each in texts if re.search(r"[^\W\d_]", each)]


@feature("M32")
def test_a_fourth_language_is_added_by_files_alone(arabic: Site, folder: Path) -> None:
    assert sovereign("check", folder).returncode == 0
    person = speaking(arabic.customer("c00311"), TAG)
    for path in (*OPEN, *CUSTOMERS):
        html = person.page(path).html
        assert '<html lang="ar" dir="rtl"' in html, path
        assert BEGIN in html
    page = person.page("/customer").html
    assert f"{BEGIN} Segmentation and trends" in page
    assert person.switch("segmentation", "allow").status == 200
    history = person.page("/customer/history").html
    assert f"{BEGIN} We count customers by group" in history, "the words that were seen are kept"


def test_names_that_run_the_other_way_are_isolated(arabic: Site) -> None:
    person = speaking(arabic.customer("c00312"), TAG)
    greeting = next(each for each in shown(person.page("/customer").html) if "Hello" in each)
    assert re.search("\u2068[^\u2068\u2069]+\u2069", greeting), greeting


@feature("M15")
def test_an_archive_is_in_any_language_of_the_companys_files(arabic: Site) -> None:
    person = speaking(arabic.customer("c00313"), TAG)
    assert person.switch("segmentation", "allow").status == 200
    proposal = {"subject": person.subject, "text": "We will refund the fee."}
    assert arabic.ask("branch-finder", "/v1/proposals", proposal).json()["waits"] is True
    with archive(person) as taken:
        readable = taken.read("interactions.html").decode()
    assert '<html lang="ar" dir="rtl">' in readable
    assert f"<h1>{BEGIN} " in readable, "the words of the company's own file"


@feature("M32")
def test_what_a_language_lacks_is_listed_and_refuses_the_start(
    folder: Path, unserved: Path, tmp_path: Path
) -> None:
    broken = shutil.copytree(folder, tmp_path / "bank")
    place = broken / "locales" / TAG / "LC_MESSAGES" / "messages.po"
    text = place.read_text("utf-8").replace('msgid "nav.centre"', 'msgid "nav.center"')
    place.write_text(text.replace("{at}", "{when}", 1), "utf-8")
    checked = sovereign("check", broken)
    assert checked.returncode == 1
    assert f"{place}: no message 'nav.centre': add it" in checked.stdout + checked.stderr
    assert "message 'nav.center' is none of the product's" in checked.stdout + checked.stderr
    assert "fills in ['when'], want" in checked.stdout + checked.stderr
    home = shutil.copytree(unserved, tmp_path / "data")
    started = sovereign("serve", "--trial", "--company", broken, "--data-dir", home)
    assert started.returncode == 2
    assert "no message 'nav.centre': add it" in started.stderr


MESSAGE = re.compile(r'msgid "([^"]+)"\nmsgstr "([^"]*)"')
HIDING = {  # message -> another text in the added language, and what `check` says
    "only invisible characters": ("switch.withdraw", "\u200b\u2060", "has no visible character"),
    "a blank letter": ("switch.withdraw", "\u3164", "has no visible character"),
    "text that is turned": ("switch.allow", "\u202edewollA", "has U+202E"),
    "a tag": ("switch.allow", "<b>oui</b>", "has '</b>', want text without HTML"),
    "two equal buttons": ("switch.withdraw", f"{BEGIN} Allowed\u200b {END}", "they are opposites"),
    "the opposite in English": (
        "switch.allow",
        "not  allowed!",
        "which in en is 'switch.withdraw'",
    ),
    "the opposite in German": (
        "standing.allowed",
        "Nicht erlaubt",
        "which in de is 'standing.refused'",
    ),
    "formats of another language": ("language.formats", "en_GB", "want formats of ar, such as ar"),
    "the name of another language": ("language.name", "deutsch ", "which is the name of de"),
}


@feature("M32")
@pytest.mark.parametrize("why", HIDING)
def test_a_language_that_hides_a_choice_is_refused(why: str, folder: Path, tmp_path: Path) -> None:
    key, text, wanted = HIDING[why]
    broken = shutil.copytree(folder, tmp_path / "bank")
    place = broken / "locales" / TAG / "LC_MESSAGES" / "messages.po"

    def edited(found: re.Match[str]) -> str:
        return f'msgid "{key}"\nmsgstr "{text}"' if found[1] == key else found[0]

    place.write_text(MESSAGE.sub(edited, place.read_text("utf-8")), "utf-8")
    checked = sovereign("check", broken)
    assert checked.returncode == 1
    assert wanted in checked.stderr, checked.stderr


def test_a_catalogue_is_of_the_language_of_its_folder(folder: Path, tmp_path: Path) -> None:
    broken = shutil.copytree(folder, tmp_path / "bank")
    place = broken / "locales" / TAG / "LC_MESSAGES" / "messages.po"
    place.write_text(place.read_text("utf-8").replace("Language: ar", "Language: he"), "utf-8")
    checked = sovereign("check", broken)
    assert checked.returncode == 1
    assert "its header says Language: he, want ar" in checked.stderr


@feature("M32")
def test_check_shows_the_pairs_that_only_a_reader_can_tell_apart(folder: Path) -> None:
    said = done("check", folder)
    assert "note: ar: whether two texts are exchanged cannot be found here" in said
    pair = f"switch.allow “{BEGIN} Allowed {END}” – switch.withdraw “{BEGIN} Not allowed {END}”"
    assert pair in said


BROKEN = {
    "a text is missing": ("scenes/segmentation.odcs.yaml", ", ar: ", ", fr: ", "text missing in"),
    "a language that nobody declared": (
        "company.toml",
        ', "ar"]',
        "]",
        "which company.toml does not name",
    ),
    "no tag": ("company.toml", '"de"', '"Deutsch"', "want different tags such as"),
    "one without a catalogue": ("company.toml", '"de"', '"de", "fr"', "text missing in ['fr']"),
}


@pytest.mark.parametrize("why", BROKEN)
def test_texts_and_languages_must_fit(why: str, folder: Path, tmp_path: Path) -> None:
    name, old, new, wanted = BROKEN[why]
    broken = shutil.copytree(folder, tmp_path / "bank")
    place = broken / name
    text = place.read_text("utf-8")
    assert old in text
    place.write_text(text.replace(old, new, 1), "utf-8")
    checked = sovereign("check", broken)
    assert checked.returncode == 1
    assert wanted in checked.stdout + checked.stderr


@feature("M2")
def test_every_page_speaks_german_and_nothing_but_german(site: Site) -> None:
    """No text of a German page is a text of the English or the Chinese one."""
    pages: dict[str, dict[str, set[str]]] = {}
    for language in ("de", "en", "zh-CN"):
        person = speaking(site.customer("c00313"), language)
        desk = speaking(site.steward(), language)
        found = {path: person.page(path).html for path in (*OPEN, *CUSTOMERS)}
        for path in ("/desk", "/desk/cases", "/desk/contracts", "/desk/jobs", "/desk/reviews"):
            found[path] = desk.page(path).html
        pages[language] = {path: {*shown(html)} for path, html in found.items()}
    same = {"Name", "Status", "System", "ε", "δ", "SHA-256", "English", "中文", "Deutsch"}
    same |= {REFUND}  # what an agent of another test proposed, in its own words
    for path, texts in pages["de"].items():
        assert len(texts) > 3, path
        other = {each for each in texts & pages["en"][path] if _is_words(each)} - same
        assert not other, (path, other)
        assert not {each for each in texts - same if re.search("[\u4e00-\u9fff]", each)}, path


def _is_words(text: str) -> bool:
    """Whether a text has several words of small letters, so that it is a sentence or a label."""
    words = re.findall(r"\b[a-zäöüß]{3,}\b", text)
    return len(words) > 1 and " " in text and not re.search(r"[/_@]|\d{4}", text)


@feature("M2")
def test_another_language_is_chosen_where_the_reader_is(site: Site) -> None:
    person = site.customer("c00314")
    person.page("/customer/history?page=1")
    answer = choose(person, person.client.get("/customer/history?page=1").text, "de")
    assert answer.url.raw_path == b"/customer/history?page=1"
    assert '<html lang="de" dir="ltr"' in answer.text
    assert '<html lang="de"' in person.client.get("/customer").text, "it is kept"


@feature("M2")
def test_a_search_is_found_again_in_another_language(site: Site) -> None:
    site.customer("c00317").switch("segmentation", "allow")
    desk = site.steward()
    page = desk.client.get("/desk/agreements").text
    assert "/desk/customers" in page
    typed = {"customer": "c00317", "ground": "audit", "reason": "sample of the month"}
    found = desk.client.post("/desk/customers", data=typed).text
    assert 'id="found-title"' in found
    again = choose(desk, found, "de")
    assert '<html lang="de"' in again.text
    assert 'id="found-title"' in again.text
    assert again.request.method == "POST"


def test_the_choice_of_a_language_repeats_no_decision(site: Site) -> None:
    person = site.customer("c00315")
    before = person.receipts()
    address = "/customer/scenes/segmentation/allow"
    data = {"language": "de", "next": address, "again": "form", "words": "x", "version": "0"}
    assert person.client.post("/language", data=data).request.method == "GET"
    assert person.receipts() == before


def test_times_are_marked_for_the_readers_zone_and_say_utc_without_it(site: Site) -> None:
    person = site.customer("c00316")
    person.switch("segmentation", "allow")
    (stated, text) = re.findall(
        r'<time datetime="([^"]+)">([^<]+)</time>', person.page("/customer/history").html
    )[0]
    assert stated.endswith("+00:00")
    assert text.endswith(" UTC")


@feature("M7")
def test_the_company_is_told_in_its_languages(folder: Path, tmp_path: Path) -> None:
    """`init` writes a folder in the languages that are named, which `check` accepts."""
    rows = tmp_path / "people.csv"
    rows.write_text("id,name,email\n1,Ada,ada@example.com\n", "utf-8")
    words = ("--from", rows, "--origin", "shop.example/consent")
    done("init", tmp_path / "shop", *words, "--language", "de", "--language", "en")
    settings = (tmp_path / "shop" / "company.toml").read_text("utf-8")
    assert 'languages = ["de", "en"]' in settings
    scene = (tmp_path / "shop" / "scenes" / "service.odcs.yaml").read_text("utf-8")
    assert "Ihr bestellter Dienst" in scene
    assert "zh-CN" not in scene
    assert folder.is_dir()


def choose(person: Person, html: str, language: str) -> httpx.Response:
    """Press the button of a language on a page; follows to the page that it leads to."""
    form = re.search(r'<form method="post" action="/language".*?</form>', html, re.DOTALL)
    assert form is not None
    hidden = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', form[0])
    data = {name: unescape(value) for name, value in hidden} | {"language": language}
    return person.client.post("/language", data=data)
