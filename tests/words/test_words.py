"""The words that customers read: how hard they are, and which ones they never meet."""

import re

import pytest

from portal.web import i18n
from tests import words

EVERY = i18n.load()
# Words of engineers and of the product's insides, and those that a better one stands for.
ENGLISH = (
    *("hash", "Merkle", "epoch", "leaf", "scene", "gate", "instruction", "steward", "synthetic"),
    *("in force", "anew", "revoke", "opt out", "checkpoint", "superseded", "login", "dead letter"),
)
CHINESE = ("闸门", "指示", "场景", "合成", "叶子", "哈希", "纸质版", "再看一次")
GERMAN = ("Szene", "Hash", "synthetisch", "Feature", "Account", "Login", "Opt-out", "Token", "Du ")
REFUSED = {"en": ENGLISH, "zh-CN": CHINESE, "de": GERMAN}
ABOUT_PROOFS = {"keys.id", "history.digest", "decisions.tokens"}  # SHA-256, and tokens of a model


def test_the_page_of_sentences_is_up_to_date() -> None:
    assert words.DOCUMENT.read_text("utf-8") == words.document(), (
        "run python -m tests.words --write"
    )


def test_english_reads_at_the_age_of_twelve() -> None:
    ages = {key: words.reading_age(text) for key, text in words.passages(EVERY["en"]).items()}
    assert len(ages) > 150
    assert words.mean([*ages.values()]) < 10
    assert sum(age <= words.MOST for age in ages.values()) / len(ages) > 0.85
    assert {key: age for key, age in ages.items() if age > 15} == {}


def test_the_formula_tells_hard_from_easy() -> None:
    hard = (
        "The revocation of authorisations necessitates unmistakable communication of consequences."
    )
    assert words.reading_age(hard) > 20
    assert words.reading_age("You can stop it until then. Tell us if this was not you.") < 9


@pytest.mark.parametrize("tag", REFUSED)
def test_customers_meet_no_word_of_the_products_insides(tag: str) -> None:
    shown = {k: text for k, text in words.customers(EVERY[tag]).items() if k not in ABOUT_PROOFS}
    assert len(shown) > 350
    found = {
        (key, word)
        for key, text in shown.items()
        for word in REFUSED[tag]
        if re.search(word if tag == "zh-CN" else rf"\b{word}s?\b", re.sub(r"\{\w+\}", "", text))
    }
    assert found == set()


@pytest.mark.parametrize("tag", EVERY)
def test_thirty_sentences_are_drawn_and_differ(tag: str) -> None:
    assert len({*words.drawn(EVERY[tag])}) == words.DRAWN
