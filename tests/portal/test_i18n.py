"""Clauses 5.1 to 5.4 of specs/portal.md: every word is in a catalogue, in every language."""

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import get_args

import pytest

from gate.contracts.scene import LOCKED, Fallback, LegalBasis, Surrogates
from gate.contracts.scene_file import COMPLETIONS
from gate.decision.decide import Reason, View
from ledger.events.acts import CompanyAct, KeyAct, Limited, TriggerCleared, TriggerSet
from portal.consent import departure, history, returning
from portal.consent.centre import SceneStatus
from portal.consent.flow import recipients
from portal.consent.flow.timeline import EventKind
from portal.desk.office import GROUNDS
from portal.jobs import schedule
from portal.operations.job_results import Health
from portal.web import i18n, problems
from portal.web.i18n import Words
from steward.agreements.health import Advice
from steward.cases.case import Status
from steward.cases.case_queue import QueueOrder, QueueState
from steward.cases.changes import ChangeKind
from steward.contracts.health import Aspect
from steward.dpv import party
from steward.language import opposites
from steward.language.catalogue import MissingMessageError
from steward.notify.notice import NoticeType
from steward.notify.outbox import NoticeState
from steward.oversight import risk
from synthetic.model.series import Every

PORTAL = Path(i18n.__file__).parents[1]
TEMPLATES = sorted(PORTAL.rglob("*.html"))
CODE = sorted(PORTAL.rglob("*.py"))
WORDS = i18n.load()

USED_IN_TEMPLATES = re.compile(r"""say\(\s*["']([a-z0-9.-]+[a-z0-9])["']\s*[,)]""")
USED_IN_CODE = re.compile(
    r""""((?:notice|did|items|mail|card|condition|scene|key\.how|language|list|timeline)\.[a-z0-9.-]+)\""""
)
GREEK = ("epsilon", "delta", "rho")
KEY_ACTS = [each.__struct_config__.tag for each in get_args(KeyAct)]
VERIFIER = PORTAL / "web" / "static" / "verify.js"
CODE_OF_A_REASON = re.compile(r"""[,(]\s*"([a-z]+(?:-[a-z]+)*)", ["`][^"`]* """)
SAID = [TriggerSet, TriggerCleared, Limited, *get_args(CompanyAct), *get_args(KeyAct)]
REASONS = {*CODE_OF_A_REASON.findall(VERIFIER.read_text("utf-8"))}  # why a receipt proves nothing
COMPOSED = {  # keys that templates put together: prefix -> what may follow
    "scene.series.": [*Every],
    "timeline.kind.": ["all", *EventKind],
    "archive.": ["no-row", "interactions.title", "interactions.lead"],
    "case-notice.": [
        "look",
        "items",
        "coarser",
        *(f"what.{each}" for each in ChangeKind),
        *(f"happened.{each}" for each in ChangeKind),
        *(f"fallback.{each}" for each in Fallback),
        *(f"{part}.{each}" for part in ("title", "review") for each in NoticeType),
        *(f"who.{each}" for each in ("one", "many", "more", "unnamed")),
        *(f"loss.{each}" for each in ("measured", "unmeasured")),
    ],
    "mailed.": ["lead", "sent"],
    "verify.reason.": [*sorted(REASONS)],
    "right.": [*party.RIGHTS],
    "standing.": [
        *SceneStatus,
        "frozen",
        "obligation",
        "unobjected",
        "objected",
        "partly-objected",
    ],
    "fallback.": ["withhold", "synthetic", "generalise"],
    "basis.": [*LegalBasis],
    "card.locked.": [*LOCKED],
    "switch.": ["allow", "withdraw", "no-objection", "object"],
    "notice.": [f"{each}{part}" for each in ("objected", "unobjected") for part in ("", "-item")],
    "card.": ["interest", "if-objected", "consequence", "left-out", "left-out-objected"],
    "role.": ["account-manager", "data-protection-officer"],
    "figure.": ["coverage", "freshness", "dependence"],
    "loss.": ["mean", "p95"],
    "completion.": [
        "everybody.text",
        *(f"{mode}{part}" for mode in COMPLETIONS for part in ("", ".text")),
    ],
    "agreement.limit.": ["coverage", "freshness", "dependence"],
    "kind.": [*ChangeKind],
    "fallback-in-force.": [*Fallback],
    "case-status.": [*Status],
    "case-act.": [
        "opened",
        "grew",
        "escalated",
        "taken",
        "assigned",
        "commented",
        "closed",
        "reopened",
        "replayed",
    ],
    "queue-state.": [*QueueState],
    "queue-order.": [*QueueOrder],
    "letter.": [*NoticeState],
    "risk.": [*risk.load()],
    "aspect.": [*Aspect],
    "job.": [*schedule.NAMES],
    "job-health.": [*Health],
    "advice.": [*Advice],
    "ground.": [*GROUNDS],
    "evidence.": ["A", "B", "C", "D", "company", "renamed"],
    "history.": ["words", "words-company"],
    "view.": [*View, "counted"],
    "statistics.": ["counted", "not-counted"],
    "release.risk.": [*Surrogates],
    # Actions of entries.
    "reads.": ["evaluate", "named", "own", "rows", "table", "search", "statistics"],
    "reason.": [*Reason, "not-permitted"],
    "delivery.": ["delivered", "cut", "unknown"],
    "did.": [
        returning.ACT,
        "merged-into",
        "renamed-to",
        *(f"{each.__struct_config__.tag}" for each in SAID),
    ],
    "sign.": [
        f"{name}.{part}"
        for name in (
            *KEY_ACTS,
            *history.OF_THE_COMPANY,
            departure.ACT,
            returning.ACT,
            recipients.ACT,
        )
        for part in ("title", "text")
    ],
    "recipients.": [
        "unknown",
        "partner",
        "inside",
        "reads",
        "reads-not",
        "counts",
        "nothing",
        "nothing-lately",
    ],
    "leave.refused.": ["word", "key", "code", "sign-in"],
    "key.kind.": ["passkey", "browser"],
    "keys.replace.": ["passkey", "browser"],
    "keys.add.": ["passkey", "browser"],
    "keys.recover.": ["passkey", "browser"],
    "mail.": [
        f"{what}.{part}"
        for what in (
            "recovery-requested",
            "key-recovered",
            "leaving-requested",
            "leaving-stopped",
            "leaving-code",
            "sign-in",
        )
        for part in ("subject", "body")
    ],
    "status.": ["400", "401", "403", "406", "408", "413", "429", "503"],
    "fact.": ["who", "act", "scene", "fields", "at", "place", "log", "signer", "unchecked"],
    "operation.": [
        "named",
        "read",
        "rows",
        "table",
        "evaluation",
        "evaluations",
        "subjects",
        "resources",
        "actions",
        "series",
    ],
}
SYMBOLS = {
    "language.formats",
    "list.clause",
    "list.comma",
    "list.said",
    "list.colon",
    "login.as",
    "regulator.digest",
    "search.found",
} | {f"regulator.{each}" for each in GREEK}
JINJA = re.compile(r"\{%.*?%\}|\{\{.*?\}\}|\{#.*?#\}", re.DOTALL)
UNTRANSLATED = re.compile(r"<pre[^>]*translate=\"no\"[^>]*>.*?</pre>|<code>.*?</code>", re.DOTALL)
TAG = re.compile(r"<[^>]*>", re.DOTALL)
SPOKEN_ATTRIBUTE = re.compile(r"""(?:aria-label|title|alt|placeholder)=(["'])(.*?)\1""")


def used_keys() -> Iterator[str]:
    for path in TEMPLATES:
        yield from USED_IN_TEMPLATES.findall(path.read_text())
    for path in CODE:
        yield from USED_IN_CODE.findall(path.read_text())
    for prefix, endings in COMPOSED.items():
        yield from (f"{prefix}{ending}" for ending in endings)


def problem_keys() -> Iterator[str]:
    slugs = {*(slug for _, slug in problems.TABLE.values()), *problems.STATUSES.values(), "broken"}
    slugs |= {*problems.TO_PROGRAMS.values()}
    yield from (f"problem.{slug}.{part}" for slug in slugs for part in ("title", "detail"))


IN_TEXT = re.compile(r"<(\w+)[^<>]*>[^<>]*\{\{ (of\([^{}]*\)|session\.(?:name|subject)) \}\}")
NOT_RUN_TOGETHER = {"bdi", "option", "text", "title"}  # of bdi's own kind, or without markup inside


def test_5_4_words_of_contracts_and_names_are_isolated_in_pages() -> None:
    """A name from right to left turns nothing that stands around it, and the other way round."""
    found = [
        (path.name, each[0])
        for path in TEMPLATES
        for each in IN_TEXT.finditer(path.read_text("utf-8"))
        if each[1] not in NOT_RUN_TOGETHER
    ]
    assert found == []


def test_every_language_has_the_same_keys() -> None:
    keys = {tag: {*words.keys()} for tag, words in WORDS.items()}
    assert len({frozenset(each) for each in keys.values()}) == 1


def test_no_key_is_missing_and_none_is_left_over() -> None:
    wanted = {*used_keys(), *problem_keys()}
    have = {*WORDS["en"].keys()}
    assert wanted - have == set()
    assert have - wanted == set()


@pytest.mark.parametrize("tag", WORDS)
def test_every_message_is_filled_in_and_in_its_language(tag: str) -> None:
    for key in WORDS[tag].keys():  # noqa: SIM118 - a method of ours
        forms = WORDS[tag].messages[key]
        assert all(form.strip() for form in forms), key
        if key not in SYMBOLS:
            chinese = [any("\u4e00" <= sign <= "\u9fff" for sign in form) for form in forms]
            assert all(chinese) if tag == "zh-CN" else not any(chinese), key


def test_every_language_fills_in_the_same_facts() -> None:
    for key in WORDS["en"].keys():  # noqa: SIM118 - a method of ours
        facts = {tag: frozenset(_facts(words, key)) for tag, words in WORDS.items()}
        assert len({*facts.values()}) == 1, (key, facts)


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_no_visible_word_stands_outside_the_catalogues(path: Path) -> None:
    text = UNTRANSLATED.sub("", path.read_text())
    attributes = [JINJA.sub("", value) for _, value in SPOKEN_ATTRIBUTE.findall(text)]
    visible = TAG.sub(" ", JINJA.sub("", text))
    assert not re.search(r"[^\W\d_]", " ".join([visible, *attributes])), path


def test_facts_are_escaped() -> None:
    assert "<b>" not in WORDS["en"].say("centre.greeting", name="<b>")
    assert "{name}" in WORDS["en"].say("centre.greeting", name="{name}")


def test_a_missing_message_is_an_error() -> None:
    with pytest.raises(MissingMessageError, match=r"no message 'no\.such'"):
        WORDS["en"].say("no.such")


def test_counts_choose_the_plural() -> None:
    assert str(WORDS["en"].say("release.age", count=1, number="1")) == "1 day ago"
    assert str(WORDS["en"].say("release.age", count=365, number="365")) == "365 days ago"
    assert str(WORDS["zh-CN"].say("release.age", count=365, number="365")) == "365 天前"
    assert str(WORDS["de"].say("release.age", count=1, number="1")) == "vor 1 Tag"


def test_lengths_of_time_follow_the_language() -> None:
    lengths = {tag: (words.days(730), words.years(730)) for tag, words in WORDS.items()}
    assert lengths == {
        "en": ("730 days", "2 years"),
        "zh-CN": ("730天", "2年"),
        "de": ("730 Tage", "2 Jahre"),
    }
    assert not WORDS["en"].years(180)


def test_dates_numbers_and_lists_follow_the_language() -> None:
    at = datetime(2026, 11, 7, 9, 5, tzinfo=UTC)
    english, chinese = WORDS["en"], WORDS["zh-CN"]
    assert english.day(date(2026, 11, 7)) == "7 November 2026"
    assert chinese.day(date(2026, 11, 7)) == "2026年11月7日"
    assert english.moment(at).startswith("7 Nov 2026, 09:05")
    assert english.number(45211) == "45,211"
    texts = [{"en": "a", "zh-CN": "甲"}, {"en": "b", "zh-CN": "乙"}]
    assert english.listed(texts) == "a and b"
    assert chinese.listed(texts) == "甲和乙"


NEGOTIATIONS = {
    "chosen before": ("zh-CN", "en", "zh-CN"),
    "chosen language unknown": ("xx", "zh", "zh-CN"),
    "nothing said": (None, "", "en"),
    "the browser's first": (None, "zh-TW,en;q=0.8", "zh-CN"),
    "the browser's best": (None, "en;q=0.4, zh;q=0.9", "zh-CN"),
    "unknown languages": (None, "fr, pt;q=0.5", "en"),
    "refused by quality": (None, "zh;q=0, en;q=0.1", "en"),
    "unreadable quality": (None, "zh;q=high, en", "en"),
    "not a header": (None, ";;;,,,===", "en"),
    "a language with a region": (None, "de-AT, en;q=0.9", "de"),
    "the longer range says otherwise": (None, "zh, zh-CN;q=0, de;q=0.2", "de"),
    "spaces around the quality": (None, "en ; q=0.2 , de ; Q=0.9", "de"),
    "everything else": (None, "en;q=0.1, *;q=0.5, zh;q=0", "de"),
    "nothing but the rest": (None, "*", "en"),
    "everything refused": (None, "*;q=0", "en"),
    "four digits are no quality": (None, "zh;q=0.9999, de;q=0.1", "de"),
    "equal qualities": (None, "de, zh", "de"),
}


@pytest.mark.parametrize(
    ("chosen", "accepted", "expected"), NEGOTIATIONS.values(), ids=NEGOTIATIONS.keys()
)
def test_the_language_is_negotiated(chosen: str | None, accepted: str, expected: str) -> None:
    assert i18n.negotiate(chosen, accepted, ["en", "zh-CN", "de"]) == expected


def _facts(words: Words, key: str) -> set[str]:
    return {fact for form in words.messages[key] for fact in re.findall(r"\{(\w+)\}", form)}


@pytest.mark.parametrize("tag", i18n.load())
def test_no_language_of_the_product_hides_a_choice(tag: str) -> None:
    known = {each.tag: each.messages for each in i18n.load().values()}
    own, english = known.pop(tag), i18n.load()["en"].messages
    assert [*opposites.confused(own, known)] == []
    assert {
        key: wrong for key in own if (wrong := opposites.illegible(own[key], english[key]))
    } == {}
    assert {each for pair in opposites.PAIRS for each in pair} <= own.keys()


def test_the_direction_is_of_the_language_not_of_its_formats() -> None:
    """`check` refuses such formats; a page follows the script all the same."""
    english = i18n.load()["en"]
    assert i18n.Words("ar", english.messages, english.plural).direction == "rtl"
    assert i18n.Words("uz-Arab", english.messages, english.plural).direction == "rtl"
    assert i18n.Words("uz", english.messages, english.plural).direction == "ltr"
