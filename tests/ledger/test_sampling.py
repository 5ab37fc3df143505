"""The draw, the files, and what an opened answer may rest on (specs/audit.md, Q9, Q10, Q13)."""

import json
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.events.acts import Granted, Withdrawn
from ledger.service import Ledger
from ledger.tlog import policy
from ledger.tlog.checkpoint import Checkpoint
from ledger.verify import receipt
from ledger.verify.sampling import challenge, grounds, openings
from ledger.verify.sampling.challenge import (
    ChallengeError,
    ChallengeRequest,
    DrawnEntry,
    SampleChallenge,
    draw,
    place,
    seed,
)
from ledger.verify.sampling.openings import EntryOpening, Openings, OpeningsError
from ledger.verify.sampling.population import ConsentActs
from tests.ledger.worlds import opened, say

HEAD = Checkpoint("bank.example/consent", 70, bytes(range(32)))
NONCE, AT = bytes(32), datetime(2026, 11, 1, tzinfo=UTC)
LOG = "bank.example/reads-1a2b3c4d"
REQUEST = ChallengeRequest(NONCE, AT, 2, AT, AT.replace(day=2))
DRAWN = (DrawnEntry(LOG, 12), DrawnEntry(LOG, 3))
SCENE = "segmentation"


@given(st.binary(min_size=32, max_size=32), st.integers(1, 60), st.integers(1, 80))
def test_q9_a_draw_has_different_entries_and_all_of_them_at_most(
    drawn_by: bytes, of: int, sample: int
) -> None:
    numbers = draw(drawn_by, of, sample)
    assert len({*numbers}) == len(numbers) == min(of, sample)
    assert all(0 <= each < of for each in numbers)
    assert numbers == draw(drawn_by, of, sample)
    assert draw(drawn_by, of, max(sample - 1, 1))[: sample - 1] == numbers[: sample - 1]


def test_q9_the_seed_and_the_draw_can_be_computed_by_hand() -> None:
    origin = HEAD.origin.encode()
    by_hand = sha256(b"sovereign/sample/v1\0" + NONCE + (70).to_bytes(8) + HEAD.root + origin)
    assert seed(NONCE, HEAD) == by_hand.digest()
    first = int.from_bytes(sha256(by_hand.digest() + bytes(8)).digest()) % 1000
    assert draw(by_hand.digest(), 1000, 5)[0] == first
    named = by_hand.digest() + b"place" + (12).to_bytes(8) + LOG.encode()
    assert place(by_hand.digest(), DRAWN[0], 7) == int.from_bytes(sha256(named).digest()) % 7


def test_q9_another_nonce_root_size_or_log_has_another_seed() -> None:
    others = [
        Checkpoint("bank.example/other", 70, HEAD.root),
        Checkpoint(HEAD.origin, 71, HEAD.root),
        Checkpoint(HEAD.origin, 70, bytes(32)),
    ]
    seeds = {seed(NONCE, each) for each in (HEAD, *others)} | {seed(b"\1" * 32, HEAD)}
    assert len(seeds) == 5


def test_q9_who_knows_the_nonce_can_try_checkpoints_until_an_entry_is_not_drawn() -> None:
    """Act 73, and why the nonce is handed over as its SHA-256: the draw then needs more."""
    roots = (sha256(bytes([each])).digest() for each in range(256))
    heads = (Checkpoint(HEAD.origin, HEAD.size, each) for each in roots)
    assert any(0 not in draw(seed(NONCE, head), 10, 5) for head in heads)
    handed_over = challenge.seal(NONCE)
    assert seed(bytes.fromhex(handed_over), HEAD) != seed(NONCE, HEAD)


def test_q9_a_challenge_formats_back_to_the_same_bytes() -> None:
    made = SampleChallenge(REQUEST, HEAD, 40, DRAWN)
    assert challenge.parse(made.encode()) == made
    assert made.digest == sha256(made.encode()).hexdigest()


NO_CHALLENGES: dict[str, Any] = {
    "another type": {"type": "sovereign/challenge/v2"},
    "a nonce of another length": {"nonce": "00"},
    "upper-case digits": {"nonce": "AB" * 32},
    "a time that is none": {"handed_over": "yesterday"},
    "a member more": {"more": 1},
    "an entry without a log": {"drawn": [{"entry": 1}]},
    "an entry that is no number": {"drawn": [{"entry": True, "log": LOG}]},
    "no checkpoint": {"checkpoint": None},
    "a number as a float": {"of": 1.0},
    "a sample that is no number": {"sample": "3"},
    "fewer entries than none": {"of": -1},
}


@pytest.mark.parametrize("why", NO_CHALLENGES)
def test_q9_what_is_no_challenge_is_refused(why: str) -> None:
    value = json.loads(SampleChallenge(REQUEST, HEAD, 40, DRAWN).encode()) | NO_CHALLENGES[why]
    data = json.dumps(value, sort_keys=True, separators=(",", ":")).encode() + b"\n"
    with pytest.raises(ChallengeError):
        challenge.parse(data)


OPENING = EntryOpening(DRAWN[0], bytes(32), None, None)
SHOWN = {"event": {}, "salt": "00" * 32, "tag": "00" * 24}


def test_q10_openings_format_back_to_the_same_bytes() -> None:
    for instruction in (None, "erased", SHOWN):
        one = EntryOpening(DRAWN[0], bytes(32), "{}", instruction)
        made = Openings("00" * 32, (one,))
        assert openings.parse(made.encode()) == made


NO_OPENINGS: dict[str, Any] = {
    "a key of another length": {"key": "00"},
    "a key that is no text": {"key": None},
    "a list that is no text": {"list": []},
    "an instruction without a salt": {"instruction": {"event": {}, "tag": "00" * 24}},
    "an instruction of another word": {"instruction": "lost"},
    "a salt of another length": {"instruction": SHOWN | {"salt": "00"}},
    "a negative entry": {"entry": -1},
    "a member more": {"more": 1},
}


@pytest.mark.parametrize("why", NO_OPENINGS)
def test_q10_what_is_no_file_of_openings_is_refused(why: str) -> None:
    value = json.loads(Openings("00" * 32, (OPENING,)).encode())
    value["openings"][0] |= NO_OPENINGS[why]
    data = json.dumps(value, sort_keys=True, separators=(",", ":")).encode() + b"\n"
    with pytest.raises(OpeningsError):
        openings.parse(data)


def test_q10_an_entry_that_is_opened_twice_is_refused() -> None:
    with pytest.raises(OpeningsError, match="opened twice"):
        openings.parse(Openings("00" * 32, (OPENING, OPENING)).encode())


# What an answer may rest on: a real consent log of two instructions of one customer.


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ledger") / "data"


@pytest.fixture(scope="module")
def ledger(home: Path) -> Ledger:
    made = opened(home)
    say(made, "c1", Granted(SCENE, ("age", "job"), datetime(2027, 1, 1, tzinfo=UTC)))
    say(made, "c1", Withdrawn(SCENE, ("job",)))
    say(made, "c1", Withdrawn(SCENE))
    made.export(home / "log" / "consent")
    return made


@pytest.fixture(scope="module")
def consent(home: Path, ledger: Ledger) -> ConsentActs:
    assert ledger.size
    trust = policy.parse((home / "consent.policy").read_bytes())
    return ConsentActs.read(home / "log" / "consent", trust, frozenset())


def entry(**members: Any) -> dict[str, Any]:
    views = {"age": "personal"}
    about = {"at": "2026-11-01T12:00:00Z", "plan": "", "reason": "granted", "scene": SCENE}
    about["action"] = "read"
    return {**about, "service": "analytics", "views": views, **members}


def positions(ledger: Ledger) -> list[int]:
    return [each.index for each in ledger.history("c1")]


GROUNDS: dict[str, tuple[int, dict[str, Any], str | None]] = {
    "a grant of the field": (0, {}, None),
    "a grant without the field": (0, {"views": {"balance": "personal"}}, "does not allow balance"),
    "a grant that ended": (0, {"at": "2027-01-01T00:00:00Z"}, "ended at"),
    "a grant of another scene": (0, {"scene": "lead-scoring"}, "is about segmentation"),
    "a withdrawal of another field": (1, {}, None),
    "a withdrawal of the field": (1, {"views": {"job": "personal"}}, "withdraws job"),
    "a withdrawal of the scene": (2, {}, "withdraws age"),
    "nothing personal": (2, {"views": {"age": "withheld"}, "reason": "withdrawn"}, None),
    "a legal basis that asks nobody": (2, {"reason": "legal-basis-contract"}, None),
}


@pytest.mark.parametrize("why", GROUNDS)
def test_q13_an_instruction_must_not_contradict_what_was_given(
    why: str, ledger: Ledger, consent: ConsentActs
) -> None:
    number, members, wrong = GROUNDS[why]
    position = positions(ledger)[number]
    found = grounds.instruction_finding(
        entry(**members), position, shown(ledger, position), consent
    )
    assert (found is None) if wrong is None else (found is not None and wrong in found)


def test_q13_an_instruction_that_the_log_has_no_commitment_to_is_another_one(
    ledger: Ledger, consent: ConsentActs
) -> None:
    first, second, _ = positions(ledger)
    found = grounds.instruction_finding(entry(), second, shown(ledger, first), consent)
    assert found is not None
    assert "is another instruction" in found


POSITIONS: dict[str, tuple[int | None, dict[str, Any], str | None]] = {
    "an instruction": (0, {}, None),
    "none, of a grant": (None, {}, "rests on no instruction"),
    "none, of silence": (None, {"reason": "legitimate-interest"}, None),
    "none, of a refusal": (None, {"views": {}, "reason": "no-fields"}, None),
    "an instruction, of a refusal": (0, {"views": {}, "reason": "no-fields"}, "it is refused"),
    "one that comes later": (1 << 20, {}, "of a consent log of"),
}


@pytest.mark.parametrize("why", POSITIONS)
def test_q13_an_answer_by_choice_rests_on_an_earlier_instruction(
    why: str, ledger: Ledger, consent: ConsentActs
) -> None:
    position, members, wrong = POSITIONS[why]
    if position == 0:
        position = positions(ledger)[0]
    found = grounds.position_finding(entry(**members), position, consent.head.size, consent)
    assert (found is None) if wrong is None else (found is not None and wrong in found)


def test_q13_a_plan_that_nothing_announced_gives_is_named(consent: ConsentActs) -> None:
    size = consent.head.size
    found = grounds.plan_finding(entry(plan="9f" * 32), size, consent)
    assert found is not None
    assert "follows from no policy" in found
    assert grounds.plan_finding(entry(plan=""), size, consent) is not None
    unknown = entry(plan="", reason="unknown-scene", views={})
    assert grounds.plan_finding(unknown, size, consent) is None


def shown(ledger: Ledger, position: int) -> dict[str, Any]:
    extra = receipt.parse(ledger.receipt(position, "c1")).extra
    return {name: extra[name] for name in ("event", "salt", "tag")}
