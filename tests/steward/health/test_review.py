"""The review queue (Q1–Q7): high-risk operations wait for a person (M25)."""

from datetime import timedelta
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml
from sqlalchemy import select

from gate.contracts.specs import specs_folder
from ledger.events.envelope import Granted
from steward.oversight import risk
from steward.oversight.register import Register, UnsealableError
from steward.oversight.review import (
    NotWaitingError,
    Proposal,
    ReviewDecision,
    ReviewError,
    ReviewOutcome,
    Reviews,
)
from steward.oversight.risk import RiskError
from steward.storage.register import WAITING
from tests.gate.world import NOON, World, world
from tests.steward.homes import in_files

OPERATIONS = risk.load()
HOUR = timedelta(hours=1)
REFUND = "We will refund the fee of 12.50 to your card."


@pytest.fixture
def bank(home: Path) -> World:
    bank = world(home / "bank", release=False)
    bank.says("c1", Granted("segmentation", ("age",), None))
    return bank


@pytest.fixture
def register(bank: World, home: Path) -> Register:
    return Register(home, bank.ledger)


@pytest.fixture
def reviews(register: Register) -> Reviews:
    return Reviews(register, OPERATIONS)


def propose(reviews: Reviews, text: str = REFUND, *declared: str) -> int:
    number = reviews.propose(Proposal("care-desk", "c1", text, frozenset(declared)), NOON)
    assert number is not None
    return number


RISKY = {
    "a refund": (REFUND, {"refund"}),
    "an inflected word": ("Your money was REFUNDED.", {"refund"}),
    "a phrase over lines": ("you get your money\n  back", {"refund"}),
    "a phrase with hyphens": ("a money-back guarantee", {"refund"}),
    "full width": ("ｒｅｆｕｎｄ", {"refund"}),
    "invisible signs": ("re\u200bfu\u00adnd", {"refund"}),
    "a lawyer": ("My lawyers will hear of it.", {"legal"}),
    "to sue": ("I will sue you.", {"legal"}),
    "termination": ("We terminate your account.", {"termination"}),
    "two at once": ("Cancel my contract or I go to court", {"termination", "legal"}),
    "a giveaway": ("The first month is free of charge", {"giveaway"}),
    "退款": ("我们将为您退款。", {"refund"}),
    "blanks between signs": ("申请 退 款", {"refund"}),
    "marks between signs": ("退·款", {"refund"}),
    "起诉": ("客户表示要起诉我们", {"legal"}),
    "销户": ("请为我办理销户", {"termination"}),
    "免费": ("本月服务免费", {"giveaway"}),
}
HARMLESS = {
    "a greeting": "Thank you for your message.",
    "suede": "Your suede shoes are on their way.",
    "courteous": "We were courteous.",
    "illegal, within a word": "Terms such as paralegal do not begin so.",
    "问候": "感谢您的来信，祝您愉快。",
    "nothing": "",
}


@pytest.mark.parametrize("why", RISKY)
def test_words_give_a_high_risk_operation_away(why: str) -> None:
    text, expected = RISKY[why]
    assert risk.detect(OPERATIONS.values(), text) == expected


@in_files
@pytest.mark.parametrize("text", HARMLESS.values(), ids=HARMLESS.keys())
def test_harmless_words_wait_for_nobody(text: str, reviews: Reviews) -> None:
    assert reviews.propose(Proposal("care-desk", "c1", text), NOON) is None
    assert reviews.waiting() == []


def test_a_high_risk_operation_waits_with_its_deadline(reviews: Reviews) -> None:
    number = propose(reviews)
    (waiting,) = reviews.waiting()
    assert (waiting.number, waiting.text, waiting.operations) == (number, REFUND, ("refund",))
    assert (waiting.subject, waiting.service) == ("c1", "care-desk")
    assert waiting.deadline == NOON + 24 * HOUR
    assert not waiting.overdue(NOON + 24 * HOUR)
    assert waiting.overdue(NOON + 24 * HOUR + timedelta(seconds=1))


def test_what_a_service_declares_waits_whatever_its_words_are(reviews: Reviews) -> None:
    propose(reviews, "Done as you asked.", "giveaway")
    assert reviews.waiting()[0].operations == ("giveaway",)


def test_the_shortest_deadline_counts_and_comes_first(reviews: Reviews) -> None:
    later, sooner = propose(reviews), propose(reviews, f"{REFUND} Your lawyer agrees.")
    assert [each.number for each in reviews.waiting()] == [sooner, later]
    assert reviews.waiting()[0].deadline == NOON + 8 * HOUR


VERDICTS = {
    ReviewOutcome.APPROVE: (None, REFUND),
    ReviewOutcome.EDIT: ("We will look into it.", "We will look into it."),
    ReviewOutcome.REFUSE: (None, None),
}


@pytest.mark.parametrize("verdict", ReviewOutcome)
def test_a_person_approves_edits_or_refuses_and_it_is_logged(
    verdict: ReviewOutcome, reviews: Reviews, register: Register
) -> None:
    text, released = VERDICTS[verdict]
    number = propose(reviews)
    assert reviews.decision(number, "c1", "care-desk") is None
    made = reviews.decide(number, verdict, by="lin", reason="checked", at=NOON + HOUR, text=text)
    assert made == ReviewDecision(number, verdict, "lin", "checked", released, NOON + HOUR)
    assert reviews.decision(number, "c1", "care-desk") == made
    assert reviews.decision(number, "c1", "sales-desk") is None  # it proposed nothing
    assert reviews.decision(number + 1, "c1", "care-desk") is None
    assert reviews.waiting() == []
    assert [each.kind for each in register.entries()] == ["proposed", "decided"]
    assert register.entries("decided")[0].open == {
        "by": "lin",
        "proposal": number,
        "verdict": verdict.value,
    }
    register.verify()


BAD_RULINGS: dict[str, dict[str, Any]] = {
    "without a name": {"by": " "},
    "without a reason": {"reason": ""},
    "approved with other words": {"text": "other words"},
    "refused with other words": {"verdict": ReviewOutcome.REFUSE, "text": "other words"},
    "edited without words": {"verdict": ReviewOutcome.EDIT},
    "edited with blanks": {"verdict": ReviewOutcome.EDIT, "text": "  "},
}


@in_files
@pytest.mark.parametrize("why", BAD_RULINGS)
def test_a_decision_that_is_none_changes_nothing(why: str, reviews: Reviews) -> None:
    number = propose(reviews)
    usual = {"verdict": ReviewOutcome.APPROVE, "by": "lin", "reason": "checked"}
    asked: dict[str, Any] = usual | BAD_RULINGS[why]
    verdict = asked.pop("verdict")
    with pytest.raises(ReviewError):
        reviews.decide(number, verdict, at=NOON, **asked)
    assert len(reviews.waiting()) == 1


def test_a_proposal_is_decided_once(reviews: Reviews, register: Register) -> None:
    number = propose(reviews)
    outcomes: list[str] = []

    def decide(by: str) -> None:
        try:
            reviews.decide(number, ReviewOutcome.APPROVE, by=by, reason="checked", at=NOON)
            outcomes.append("decided")
        except NotWaitingError:
            outcomes.append("too late")

    threads = [Thread(target=decide, args=[by]) for by in ("lin", "ana", "bo")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["decided", "too late", "too late"]
    assert len(register.entries("decided")) == 1


def test_a_proposal_that_never_was_cannot_be_decided(reviews: Reviews) -> None:
    with pytest.raises(NotWaitingError, match="proposal 7 is not pending"):
        reviews.decide(7, ReviewOutcome.REFUSE, by="lin", reason="checked", at=NOON)


def test_once_decided_the_customers_name_stands_nowhere(reviews: Reviews, home: Path) -> None:
    number = propose(reviews)
    reviews.decide(number, ReviewOutcome.REFUSE, by="lin", reason="checked", at=NOON)
    with Register(home, reviews._register._tagger).reading() as database:
        assert database.execute(select(WAITING)).all() == []


def test_after_erasure_a_proposal_can_only_be_refused(reviews: Reviews, bank: World) -> None:
    number = propose(reviews)
    bank.ledger.erase("c1", NOON)
    assert reviews.waiting()[0].text is None
    for verdict, text in ((ReviewOutcome.APPROVE, None), (ReviewOutcome.EDIT, "other words")):
        with pytest.raises(ReviewError, match="only be refused"):
            reviews.decide(number, verdict, by="lin", reason="checked", at=NOON, text=text)
    reviews.decide(number, ReviewOutcome.REFUSE, by="lin", reason="erased", at=NOON)
    assert reviews.waiting() == []


def test_a_customer_without_a_key_is_refused(reviews: Reviews) -> None:
    with pytest.raises(UnsealableError, match="decide manually"):
        reviews.propose(Proposal("care-desk", "nobody", REFUND), NOON)
    assert reviews.waiting() == []


BAD_PROPOSALS = {
    "an operation nobody knows": Proposal("care-desk", "c1", "", frozenset({"gift"})),
    "a text without end": Proposal("care-desk", "c1", "refund " * 3000),
}


@in_files
@pytest.mark.parametrize("why", BAD_PROPOSALS)
def test_a_proposal_that_cannot_be_judged_is_refused(why: str, reviews: Reviews) -> None:
    with pytest.raises(ReviewError, match="want"):
        reviews.propose(BAD_PROPOSALS[why], NOON)


GOOD_FILE = yaml.safe_load((specs_folder() / "stewardship" / "review.yaml").read_text())
BAD_FILES = {
    "nothing": None,
    "a list": ["refund"],
    "no operation": {},
    "no hours": {"refund": {"words": GOOD_FILE["refund"]["words"]}},
    "half an hour": {"refund": GOOD_FILE["refund"] | {"hours": 0.5}},
    "no time": {"refund": GOOD_FILE["refund"] | {"hours": 0}},
    "one language": {"refund": GOOD_FILE["refund"] | {"words": {"en": ["refund"]}}},
    "a language without words": {
        "refund": GOOD_FILE["refund"] | {"words": {"en": ["refund"], "zh-CN": []}}
    },
    "an empty word": {"refund": GOOD_FILE["refund"] | {"words": {"en": ["*"], "zh-CN": ["退款"]}}},
}


@pytest.mark.parametrize("why", BAD_FILES)
def test_a_configuration_that_lets_everything_through_is_refused(why: str, tmp_path: Path) -> None:
    path = tmp_path / "review.yaml"
    path.write_text(yaml.safe_dump(BAD_FILES[why], allow_unicode=True))
    with pytest.raises(RiskError, match=r"review\.yaml: .*want"):
        risk.load(path)
