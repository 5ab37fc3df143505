"""Re-consent (N1–N6): one neutral reminder, logged, and never for a refusal (M29)."""

from contextlib import suppress
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml

from gate.contracts.specs import specs_folder
from ledger.events.envelope import Granted, ScenePublished, TriggerSet, Withdrawn
from steward.agreements import neutral_reminder
from steward.agreements.neutral_reminder import BiasedReminderError, ReminderFileError
from steward.agreements.reconsent import NothingEndedError, Reminders, RepeatedReminderError
from steward.oversight.register import Register
from tests.gate.scenes import SCENES
from tests.gate.test_versions import WIDER, under
from tests.gate.world import NOON, World, world

SCENE = SCENES["direct-marketing"]  # its permissions last 30 days
DAY = timedelta(days=1)
LATER = NOON + 31 * DAY
FILE = specs_folder() / "stewardship" / "reminder.yaml"
TEXT = {
    "en": "{scene} ended on {day}: {address}",
    "zh-CN": "{scene}已于{day}结束：{address}",
    "de": "{scene} endete am {day}: {address}",
}


class Channel:
    """Where reminders go, in the order in which they went."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str]] = []

    def __call__(self, subject: str, words: str) -> None:
        self.sent.append((subject, words))


@pytest.fixture
def bank(tmp_path: Path) -> World:
    bank = world(tmp_path, release=False)
    for subject in ("c1", "c2", "c3"):
        bank.says(subject, Granted(SCENE.id, ("email",), None))
    return bank


@pytest.fixture
def channel() -> Channel:
    return Channel()


@pytest.fixture
def register(bank: World, tmp_path: Path) -> Register:
    return Register(tmp_path, bank.ledger)


@pytest.fixture
def reminders(bank: World, register: Register, channel: Channel) -> Reminders:
    text = neutral_reminder.load()
    return Reminders(register, bank.gate, text, "https://bank.example/customer", channel)


@pytest.mark.parametrize("locale", ["en", "zh-CN"])
def test_a_permission_that_ran_out_is_reminded_of_once(
    locale: str, reminders: Reminders, register: Register, channel: Channel
) -> None:
    sent = reminders.send("c1", SCENE, locale, LATER)
    assert channel.sent == [("c1", sent.words)]
    assert "2026-01-31" in sent.words
    assert "https://bank.example/customer" in sent.words
    (entry,) = register.entries("reminded")
    assert entry.open["scene"] == SCENE.id
    assert (entry.open["standing"], entry.open["locale"]) == ("expired", locale)
    with pytest.raises(RepeatedReminderError, match="want 365 days in between"):
        reminders.send("c1", SCENE, locale, LATER + 364 * DAY)
    assert len(channel.sent) == 1


def test_after_the_contracts_time_it_may_be_reminded_of_again(
    reminders: Reminders, channel: Channel
) -> None:
    reminders.send("c1", SCENE, "en", LATER)
    reminders.send("c1", SCENE, "en", LATER + 365 * DAY)
    weekly = replace(SCENE, reminder=timedelta(days=7))
    reminders.send("c2", weekly, "en", LATER)
    reminders.send("c2", weekly, "en", LATER + 7 * DAY)
    assert len(channel.sent) == 4


def test_another_scene_and_another_customer_have_reminders_of_their_own(
    reminders: Reminders, channel: Channel, bank: World
) -> None:
    bank.says("c1", Granted("segmentation", ("age",), NOON + DAY))
    reminders.send("c1", SCENE, "en", LATER)
    reminders.send("c2", SCENE, "en", LATER)
    reminders.send("c1", SCENES["segmentation"], "en", LATER)
    assert len(channel.sent) == 3


def _nothing(bank: World, why: str) -> str:
    match why:
        case "it still holds":
            bank.says("c1", Granted(SCENE.id, ("email",), None), NOON + 5 * DAY)
        case "it was withdrawn":
            bank.says("c1", Withdrawn(SCENE.id))
        case "it was withdrawn after it ended":
            bank.says("c1", Withdrawn(SCENE.id), NOON + 40 * DAY)
        case "a condition freezes it":
            act = Granted("segmentation", ("age",), None)
            bank.says("c1", act, NOON + DAY)
            bank.says("c1", TriggerSet("segmentation", "metric_below", "accuracy", 9200))
        case _:
            return "c9"
    return "c1"


NOTHING_ENDED = [
    "it still holds",
    "it was withdrawn",
    "it was withdrawn after it ended",
    "a condition freezes it",
    "it was never given",
]


@pytest.mark.parametrize("why", NOTHING_ENDED)
def test_a_refusal_is_an_answer_and_is_not_asked_about_again(
    why: str, reminders: Reminders, register: Register, channel: Channel, bank: World
) -> None:
    subject = _nothing(bank, why)
    scene = SCENES["segmentation"] if "condition" in why else SCENE
    with pytest.raises(NothingEndedError):
        reminders.send(subject, scene, "en", LATER)
    assert (register.entries(), channel.sent) == ([], [])
    assert subject not in reminders.due(scene, LATER)


def test_a_scene_based_on_the_contract_has_no_reminder(reminders: Reminders, bank: World) -> None:
    bank.says("c1", Granted("contract-service", ("name",), NOON + DAY))
    with pytest.raises(NothingEndedError):
        reminders.send("c1", SCENES["contract-service"], "en", LATER)


def test_a_lapsed_permission_is_reminded_of(
    register: Register, channel: Channel, bank: World
) -> None:
    bank.says("c1", Granted("segmentation", ("age",), None))
    bank.ledger.announce([ScenePublished("segmentation", "2.0.0", "2" * 64, NOON)])
    wider = under(bank, WIDER)
    reminders = Reminders(register, wider, neutral_reminder.load(), "https://bank.example", channel)
    assert reminders.due(WIDER, NOON) == ["c1"]
    reminders.send("c1", WIDER, "en", NOON)
    assert register.entries()[0].open["standing"] == "lapsed"


def test_those_due_are_those_who_can_be_sent_one(reminders: Reminders, bank: World) -> None:
    assert reminders.due(SCENE, NOON + DAY) == []
    bank.says("c3", Withdrawn(SCENE.id))
    assert reminders.due(SCENE, LATER) == ["c1", "c2"]
    reminders.send("c1", SCENE, "en", LATER)
    assert reminders.due(SCENE, LATER) == ["c2"]
    assert reminders.due(SCENE, LATER + 365 * DAY) == ["c1", "c2"]


def test_what_is_not_logged_is_not_sent_and_what_was_logged_is_not_sent_twice(
    bank: World, register: Register
) -> None:
    class BrokenError(Exception):
        pass

    def broken(_subject: str, _words: str) -> None:
        assert len(register.entries("reminded")) == 1  # logged before it is handed on
        raise BrokenError

    reminders = Reminders(
        register, bank.gate, neutral_reminder.load(), "https://bank.example", broken
    )
    with pytest.raises(BrokenError):
        reminders.send("c1", SCENE, "en", LATER)
    with pytest.raises(RepeatedReminderError):
        reminders.send("c1", SCENE, "en", LATER)


def test_two_who_remind_at_once_are_one(
    reminders: Reminders, register: Register, channel: Channel
) -> None:
    def send() -> None:
        with suppress(RepeatedReminderError):
            reminders.send("c1", SCENE, "en", LATER)

    threads = [Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(register.entries()), len(channel.sent)) == (1, 1)


BIASED = {
    "a discount": ("en", "Allow now and get a 10 % discount.", "incentive"),
    "a coupon, inflected": ("en", "COUPONS wait for you.", "incentive"),
    "points": ("en", "You earn points.", "incentive"),
    "hidden signs": ("en", "a dis\u200bcount", "incentive"),
    "优惠": ("zh-CN", "重新允许可享优惠。", "incentive"),
    "红 包": ("zh-CN", "送您红 包。", "incentive"),
    "preselected": ("en", "We have already ticked yes.", "preselection"),
    "silence is consent": ("en", "Unless you object we go on.", "preselection"),
    "默认": ("zh-CN", "默认继续使用。", "preselection"),
    "视为同意": ("zh-CN", "未回复将视为同意。", "preselection"),
    "a last chance": ("en", "This is your last chance.", "pressure"),
    "a loss": ("en", "You will lose your offers.", "pressure"),
    "立即": ("zh-CN", "请立即确认。", "pressure"),
    "shouting": ("en", "Decide!", "exclamation"),
    "shouting in Chinese": ("zh-CN", "请决定！", "exclamation"),
    "another variable": ("en", "{offer}", "variables"),
    "a nameless variable": ("en", "{}", "variables"),
    "a reach into a variable": ("en", "{scene.title}", "variables"),
    "a formatted variable": ("en", "{day:>500}", "has a format"),
    "a converted variable": ("en", "{day!r}", "has a format"),
    "an open brace": ("en", "{scene", "cannot be read"),
    "a novel": ("en", "words " * 100, "at most 600"),
}


def file(tmp_path: Path, **changes: Any) -> Path:
    path = tmp_path / "reminder.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(FILE.read_text()) | changes, allow_unicode=True))
    return path


@pytest.mark.parametrize("why", BIASED)
def test_a_reminder_that_is_not_neutral_is_refused(why: str, tmp_path: Path) -> None:
    locale, words, rule = BIASED[why]
    text = TEXT | {locale: f"{TEXT[locale]} {words}"}
    with pytest.raises(
        BiasedReminderError, match=rf"the reminder in {locale} is refused: .*{rule}"
    ):
        neutral_reminder.load(file(tmp_path, text=text))


@pytest.mark.parametrize("name", ["{scene}", "{day}", "{address}"])
def test_a_reminder_says_what_ended_when_and_where_to_decide(name: str, tmp_path: Path) -> None:
    text = TEXT | {"en": TEXT["en"].replace(name, "it")}
    with pytest.raises(BiasedReminderError, match="want all of"):
        neutral_reminder.load(file(tmp_path, text=text))


def test_the_shipped_reminder_passes_and_speaks_every_language() -> None:
    reminder = neutral_reminder.load()
    spoken = {
        locale: reminder.words(SCENE, date(2026, 1, 31), "https://bank.example", locale)
        for locale in ("en", "zh-CN", "de")
    }
    assert "leave it so" in spoken["en"]
    assert "保持现状" in spoken["zh-CN"]
    assert "so lassen" in spoken["de"]
    assert all("2026-01-31" in each and "bank.example" in each for each in spoken.values())


BAD_FILES: dict[str, dict[str, Any]] = {
    "a text in one language": {"text": {"en": TEXT["en"]}},
    "no text": {"text": None},
    "no rules": {"refused": {}},
    "a rule in one language": {
        "refused": {kind: {"en": ["gift*"]} for kind in neutral_reminder.KINDS}
    },
    "a rule without words": {
        "refused": {kind: {"en": ["gift*"], "zh-CN": []} for kind in neutral_reminder.KINDS}
    },
}


@pytest.mark.parametrize("why", BAD_FILES)
def test_a_file_without_text_or_rules_is_refused(why: str, tmp_path: Path) -> None:
    with pytest.raises(ReminderFileError, match=r"reminder\.yaml: want text and refused words"):
        neutral_reminder.load(file(tmp_path, **BAD_FILES[why]))
