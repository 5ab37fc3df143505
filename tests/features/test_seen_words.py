"""The words that a customer decided on: on screen, on paper, by mail and in their archive."""

import email
import re
import shutil
from collections.abc import Iterator
from email.policy import default
from hashlib import sha256
from html import unescape
from pathlib import Path

import pytest

from tests.bank import BANK
from tests.features.catalogue import feature
from tests.features.served import Person, Site, wait_for
from tests.features.test_leaving import archive

SCENE = "segmentation"
DIGEST = re.compile(r"<code>([0-9a-f]{64})</code>")
CHINESE = {"Accept-Language": "zh-CN"}


def texts(page: str) -> str:
    """A page without its markup."""
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", page)))


def on_record(customer: Person) -> tuple[str, str]:
    """The history, and the newest receipt on paper, as texts."""
    history = customer.page("/customer/history").html
    paper = customer.page(f"/customer/receipts/{customer.receipts()[0]}/paper").html
    assert DIGEST.findall(paper) == DIGEST.findall(history)[:1]
    return texts(history), texts(paper)


@pytest.fixture
def changing(unserved: Path, tmp_path: Path) -> Site:
    """A bank whose contracts may be changed, served with a folder for letters."""
    company = shutil.copytree(BANK, tmp_path / "bank")
    home = shutil.copytree(unserved, tmp_path / "data")
    letters = {"SOVEREIGN_MAIL": f"folder:{tmp_path / 'mail'}"}
    return Site(home, tmp_path / "log", settings=letters, words=("--company", str(company)))


def sentences_of(site: Site) -> Path:
    return next((Path(site.words[1]) / "scenes").glob(f"{SCENE}*"))


@feature("M15")
def test_the_words_are_shown_where_their_digest_stands_also_after_they_changed(
    changing: Site, tmp_path: Path
) -> None:
    with changing.serving() as site:
        customer = site.customer("c00280")
        before = first_sentences(customer)
        customer.switch(SCENE, "allow")
        for record in on_record(customer):
            assert all(each in record for each in before)
        letter = wait_for(lambda: next(letters(tmp_path), None), "letter")
        (words,) = (each for each in letter if each[0].startswith("words-"))
        assert words[0] == f"words-{sha256(words[1]).hexdigest()}.json"
        assert all(each in words[1].decode() for each in before)
    contract = sentences_of(changing)
    old = contract.read_text("utf-8")
    contract.write_text(reworded(old, before[1]), "utf-8")
    with changing.serving() as site:
        customer = site.customer("c00280")
        assert before[1] not in first_sentences(customer)
        for record in on_record(customer):
            assert all(each in record for each in before)
        require_difference(customer, before[1])
        with archive(customer) as taken:
            files = [taken.read(each) for each in taken.namelist() if each.startswith("words/")]
            names = [each for each in taken.namelist() if each.startswith("words/")]
        assert names == [f"words/{sha256(each).hexdigest()}.json" for each in files]
        assert any(before[1] in each.decode() for each in files)


def test_words_seen_in_chinese_are_shown_in_chinese_on_an_english_page(site: Site) -> None:
    customer = site.visitor(**CHINESE)
    customer.client.post("/login", data={"customer": "c00281"})
    before = first_sentences(customer)
    customer.switch(SCENE, "allow")
    customer.client.headers["Accept-Language"] = "en"
    assert before != first_sentences(customer)
    for record in on_record(customer):
        assert all(each in record for each in before)


def test_the_history_does_not_claim_what_the_page_about_erasing_contradicts(
    customer: Person,
) -> None:
    lead = texts(customer.page("/customer/history").html)
    assert "altered or removed" not in lead
    assert "You can erase" in lead
    customer.client.headers["Accept-Language"] = "zh-CN"
    assert "无法修改或删除" not in customer.page("/customer/history").html


def require_difference(customer: Person, before: str) -> None:
    """Clause 3.31: the scene's page shows what was struck from the words, and what came."""
    page = customer.page(f"/customer/scenes/{SCENE}").html
    shown = page[page.index('id="word-changes"') :].partition("</section>")[0]
    gone = re.sub(r"<ins>.*?</ins>", "", shown).replace("removed: ", "")
    come = re.sub(r"<del>.*?</del>", "", shown).replace("added: ", "")
    assert before in texts(gone)
    assert "Other words" in texts(come)
    assert before not in texts(come)
    assert shown.count("<dt>") == 1, "nothing else changed"
    assert "(you agreed to it)" in shown
    assert "(valid now)" in shown


def first_sentences(customer: Person) -> list[str]:
    """Title, summary, consequence and alternative of the scene, as the page shows them."""
    html = customer.page(f"/customer/scenes/{SCENE}").plain
    named = re.findall(r'data-word="(title|summary|consequence|alternative)">([^<]+)<', html)
    assert [name for name, _ in named] == ["title", "summary", "consequence", "alternative"]
    return [unescape(text) for _, text in named]


def reworded(contract: str, sentence: str) -> str:
    """A new minor version of the contract, with another sentence in English."""
    assert contract.count(sentence) == 1
    version = re.search(r"^version: (\d+)\.(\d+)\.(\d+)$", contract, re.MULTILINE)
    assert version
    newer = f"version: {version[1]}.{int(version[2]) + 1}.0"
    return contract.replace(sentence, "Other words").replace(version[0], newer)


def letters(folder: Path) -> Iterator[list[tuple[str, bytes]]]:
    """The attachments of each letter: name and bytes."""
    for path in (folder / "mail").glob("*.eml"):
        letter = email.message_from_bytes(path.read_bytes(), policy=default)
        parts = letter.iter_attachments()
        yield [(str(p.get_filename()), p.get_content()) for p in parts]
