"""What a notice says (S30, S31)."""

import json
import string
from collections.abc import Sequence
from dataclasses import replace
from enum import Enum

import pytest

from gate.contracts.scene import Fallback
from steward.cases.case import Case, Status
from steward.cases.changes import ChangeKind
from steward.cases.loss import Loss, measured, parse
from steward.language import catalogue
from steward.notify import notice
from steward.notify.masked_name import masked
from steward.notify.notice import NoticeType
from synthetic.evaluation.evaluate import expected_loss
from tests.gate.scenes import NEAREST_BRANCH, SEGMENTATION
from tests.gate.world import NOON
from tests.steward.change.office import bank_release

LANGUAGES = catalogue.load()
CASE = Case(
    id=7,
    scene="segmentation",
    kind=ChangeKind.WITHDRAWAL,
    count=1,
    opened=NOON,
    due=NOON,
    status=Status.OPEN,
    fallback=Fallback.SYNTHETIC,
    loss=Loss(0.01834, 0.0521, 0.1, "segmentation-4f"),
    fields=(),
    live=10,
    responsible="account-manager",
    escalated=None,
    customers=("Z***",),
)


def body(case: Case = CASE, locale: str = "en") -> str:
    return notice.text(NoticeType.OPENED, case, SEGMENTATION, LANGUAGES[locale])["body"]


def places(forms: Sequence[str]) -> set[str]:
    return {name for form in forms for _, name, _, _ in string.Formatter().parse(form) if name}


@pytest.mark.parametrize("locale", LANGUAGES)
def test_s30_every_message_is_complete_in_every_language(locale: str) -> None:
    english, here = LANGUAGES["en"].messages, LANGUAGES[locale].messages
    assert english.keys() == here.keys()
    for key, forms in english.items():
        assert all(each.strip() for each in here[key])
        assert places(forms) == places(here[key]), key


@pytest.mark.parametrize(
    ("prefix", "kind"),
    [
        ("title", NoticeType),
        ("review", NoticeType),
        ("what", ChangeKind),
        ("happened", ChangeKind),
        ("fallback", Fallback),
    ],
)
def test_s30_every_case_has_its_words(prefix: str, kind: type[Enum]) -> None:
    within = f"case-notice.{prefix}."
    have = {key for key in LANGUAGES["en"].messages if key.startswith(within)}
    assert have == {f"{within}{each.value}" for each in kind}


@pytest.mark.parametrize("type_", NoticeType)
@pytest.mark.parametrize("kind", ChangeKind)
@pytest.mark.parametrize("fallback", Fallback)
@pytest.mark.parametrize("locale", LANGUAGES)
def test_s30_a_notice_leaves_no_blank(
    type_: NoticeType, kind: ChangeKind, fallback: Fallback, locale: str
) -> None:
    case = replace(CASE, kind=kind, fallback=fallback, loss=None)
    said = notice.text(type_, case, SEGMENTATION, LANGUAGES[locale])
    assert "{" not in said["title"] + said["body"]
    assert len(said["body"].split("\n")) == (2 if kind in notice.ALERTS else 4)


def test_s30_a_whole_notice_in_english() -> None:
    assert body() == (
        "Customer Z*** switched off everything in “words”.\n"
        "From now on words, words get synthetic values, marked as such, in the same schema.\n"
        "Expected error of the scene's segments with 10 % of its customers gone: 1.83 % on "
        "average, at most 5.21 % in 95 of 100 (measured on segmentation-4f).\n"
        "Please review by hand by 2026-01-01 12:00 UTC whether these uses still hold on the "
        "fallback: words, words. Responsible: account manager."
    )


def test_s30_a_whole_notice_in_chinese() -> None:
    assert body(replace(CASE, customers=("张***",)), "zh-CN") == (
        "客户 张***关闭了“词语”中的全部数据项。\n"
        "现行替代方案：词语、词语改用带标记的合成数据，数据结构不变。\n"
        "该场景 10 % 的客户退出后，分组统计的预期误差：平均 1.83 %，95% 的分组不超过 5.21 %"
        "（依据 segmentation-4f 实测）。\n"
        "请于 2026-01-01 12:00 UTC 前人工复核：词语、词语的业务在替代方案下是否仍然可靠。"
        "责任人：客户经理。"
    )


WHO: dict[str, tuple[int, tuple[str, ...], str]] = {
    "nobody can be named": (1, ("***",), "Customer *** "),
    "two": (2, ("Z***", "L***"), "2 customers (Z***, L***) "),
    "a wave": (400, ("Z***", "L***"), "400 customers (Z***, L*** and others) "),
    "a wave without names": (400, ("***",), "400 customers switched"),
}


@pytest.mark.parametrize("why", WHO)
def test_s30_who_is_a_masked_name_or_a_count(why: str) -> None:
    count, customers, said = WHO[why]
    assert body(replace(CASE, count=count, customers=customers)).startswith(said)


def test_s30_items_and_what_answers_in_their_place_are_named() -> None:
    fields = {
        name: replace(field, item=replace(field.item, title={"en": name, "zh-CN": name}))
        for name, field in NEAREST_BRANCH.fields.items()
    }
    scene = replace(NEAREST_BRANCH, fields=fields)
    case = replace(CASE, fields=("location",), fallback=Fallback.GENERALISE, loss=None)
    said = notice.text(NoticeType.OPENED, case, scene, LANGUAGES["en"])["body"]
    assert "switched off location in" in said
    assert "get postcode_area where the customer grants it" in said
    assert "not measured" in said


NAMES = {
    "Zhang Wei": "Z***",
    "张伟": "张***",
    "  Ada": "A***",
    "": "***",
    "A": "A***",
}


@pytest.mark.parametrize("name", NAMES)
def test_s30_a_name_is_its_first_character_and_stars(name: str) -> None:
    assert masked(name) == NAMES[name]


def test_s30_no_name_is_stars() -> None:
    assert masked(None) == "***"


PERCENTS = {0.0: "0 %", 0.1: "10 %", 1.0: "100 %", 0.01834: "1.83 %", 2.216e-5: "0.00222 %"}


@pytest.mark.parametrize("share", PERCENTS)
def test_s30_a_figure_keeps_three_digits_that_count(share: float) -> None:
    assert notice._percent(share, LANGUAGES["en"]) == PERCENTS[share]
    german = notice._percent(share, LANGUAGES["de"])
    assert german == PERCENTS[share].replace(".", ",")


def test_s31_the_loss_is_the_evaluations_own() -> None:
    release = bank_release()
    for count, live in ((1, 40_000), (4_000, 40_000), (13, 13)):
        expected = expected_loss(release, count / live)
        found = measured(release, count, live)
        assert found == Loss(expected.mean, expected.p95, count / live, release.id)
        assert found is not None
        assert parse(found.text()) == found


def test_s31_where_nothing_measures_it_there_is_no_figure() -> None:
    release = bank_release()
    nothing = replace(release, measurements=())
    assert measured(None, 1, 10) is None
    assert measured(release, 1, 0) is None
    assert measured(nothing, 1, 10) is None


def test_s31_who_granted_after_the_case_began_counts_but_never_beyond_everybody() -> None:
    found = measured(bank_release(), 30, 10)
    assert found is not None
    assert found.share == 1.0


def test_s32_the_id_is_of_the_content_and_the_channel() -> None:
    made = [
        notice.event(type_, CASE, SEGMENTATION, "log", NOON, number, LANGUAGES)
        for number, type_ in enumerate((NoticeType.OPENED, NoticeType.OVERDUE))
    ]
    ids = [notice.identified(each, channel)[0] for each in made for channel in ("a", "b")]
    assert len(set(ids)) == 4
    assert ids[0] == notice.identified(made[0], "a")[0]
    assert json.loads(notice.identified(made[0], "a")[1])["id"] == ids[0]
