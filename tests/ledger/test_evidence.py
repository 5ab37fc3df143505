"""Clauses I70 to I75 of specs/instruction.md: evidence, verified without the ledger it is from."""

import json
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, nullcontext
from copy import deepcopy
from dataclasses import dataclass
from dataclasses import replace as datareplace
from datetime import datetime, timedelta
from functools import cache, reduce
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest
from msgspec.structs import replace
from typer.testing import CliRunner

from ledger.errors import UnwitnessedTimeError
from ledger.events import canonical_json, envelope
from ledger.events.authority import COOLING_OFF, Authority
from ledger.events.envelope import (
    Act,
    Granted,
    Instruction,
    KeyEnrolled,
    KeyRecovered,
    KeyReplaced,
    MandateGiven,
    RecoveryRequested,
    TriggerCleared,
    TriggerSet,
    Withdrawn,
)
from ledger.evidence_builder import ErasedError, build_evidence
from ledger.fsck import fsck
from ledger.keys import rotation
from ledger.reader import RecordedInstruction
from ledger.service import Ledger, UnknownSubjectError
from ledger.statemap.map_proof import StateProof
from ledger.statemap.verifiable_map import MapProof
from ledger.tlog import cosignature, mldsa, policy
from ledger.tlog.mldsa import MldsaSigner
from ledger.tlog.policy import LogKey, LogPolicy
from ledger.verify import evidence, receipt
from ledger.verify.cli import main
from ledger.verify.evidence import SKEW, EvidenceError, Proven
from ledger.witness import server
from ledger.witness.watched_log import WatchedLog
from ledger.witness.witness import Witness
from portal.commands.log.audit import app
from tests.ledger.events import GRANTED, NOON, ORIGIN, WORDING
from tests.ledger.hands import BrowserKey, Hand, Passkey, give
from tests.ledger.test_cosigning import served
from tests.ledger.worlds import opened

HAND, SECOND, THIRD, DELEGATE = Passkey(), BrowserKey(), Passkey(), Passkey()
YEAR = timedelta(days=365)
# The customer's instructions in the story, by number.
ENROLLED, GAVE, REPLACED, BY_SECOND, MANDATED, BY_DELEGATE, ASKED, RECOVERED, BY_THIRD = range(
    1, 10
)
WITHDREW = 10


def policies(home: Path) -> list[LogPolicy]:
    return [policy.parse((home / f"{log}.policy").read_bytes()) for log in ("consent", "state")]


@dataclass(frozen=True)
class Archive:
    """What a customer and a regulator still have; there is no server any more."""

    texts: dict[int, str]  # by instruction
    first: list[LogPolicy]  # as they were before any rotation
    last: list[LogPolicy]
    home: Path  # for those tests that look into the ledger

    def verified(self, seq: int) -> Proven:
        return evidence.verify(evidence.parse(self.texts[seq]), self.first)


@dataclass
class Clock:
    """What the witnesses go by."""

    now: datetime = NOON


def story(ledger: Ledger, home: Path, witnesses: list[Witness], clock: Clock) -> str:
    """Ten years: keys that follow one another, a mandate, a recovery, and rotations between.

    The receipt that the customer was sent when a recovery was requested.
    """

    def say(act: Act, hand: Hand | None, years: int, **how: Any) -> RecordedInstruction:
        clock.now = how.pop("at", NOON + years * YEAR)
        return give(ledger, act, hand, at=clock.now, **how)

    def rotate(years: int) -> None:
        clock.now = NOON + years * YEAR
        ledger.rotate(home, clock.now)
        for each in witnesses:
            each._logs = WatchedLog.by_origin(known_keys(home))

    say(KeyEnrolled(HAND.key), None, 0)
    say(GRANTED, HAND, 0)
    say(Granted("ads", ("age",), None), None, 0, subject="c2")
    rotate(1)
    say(KeyReplaced(HAND.key.id, SECOND.key), HAND, 2)
    say(TriggerSet("segmentation", "below", "drift", 1), SECOND, 3)
    rotate(4)
    mandate = say(MandateGiven(DELEGATE.key, ("segmentation",), NOON + 9 * YEAR), SECOND, 5)
    say(GRANTED, DELEGATE, 6, mandate=envelope.digest(mandate.event))
    due = NOON + 7 * YEAR + COOLING_OFF
    request = say(RecoveryRequested(THIRD.key, "card", due), None, 7)
    kept = ledger.receipt(request.index)
    say(KeyRecovered(envelope.digest(request.event)), None, 7, at=due)
    rotate(8)
    say(GRANTED, THIRD, 10)
    say(Withdrawn("segmentation"), None, 10)
    return kept


@cache
def archive() -> Archive:
    """Made once: three witnesses must cosign both logs, and learn of new keys after a rotation."""
    with ExitStack() as stack:
        home = Path(mkdtemp())
        Ledger.open(home / "home", origin=ORIGIN).close()
        clock = Clock()
        witnesses = watched(home, stack, clock)
        ledger = opened(home / "home", lambda: clock.now)
        first = policies(home / "home")
        kept = [receipt.parse(story(ledger, home / "home", witnesses, clock))]
        texts = {
            seq: str(build_evidence(ledger, home / "home", "c1", seq, kept))
            for seq in range(1, ledger.version("c1") + 1)
        }
        texts[0] = str(build_evidence(ledger, home / "home", "c2", 1))
        ledger.close()
    return Archive(texts, first, policies(home / "home"), home / "home")


def watched(home: Path, stack: ExitStack, clock: Clock) -> list[Witness]:
    """Three witnesses who all must cosign, one of them by a key of ML-DSA-44."""
    witnesses, lines = [], []
    for number in range(3):
        make = mldsa.generate if number == 2 else cosignature.generate
        key = make(f"witness.example/w{number}")
        one = Witness(home / f"w{number}.sqlite", key, known_keys(home / "home"), lambda: clock.now)
        url = stack.enter_context(served(server.app(one)))
        public = key.verifier if isinstance(key, MldsaSigner) else key.key
        lines.append(f"witness w{number} {public} {url}\n")
        witnesses.append(one)
    lines += ["group three all w0 w1 w2\n", "quorum three\n"]
    (home / "home/witnesses.policy").write_text("".join(lines))
    return witnesses


def known_keys(home: Path) -> list[LogKey]:
    files = [home / "keys" / f"{log}.vkey" for log in ("consent", "state")]
    return [policy.log_key(line) for file in files for line in file.read_text().split()]


def test_i71_i72_ten_years_later_the_policies_of_the_first_day_suffice() -> None:
    assert len(rotation.stored_receipts(archive().home)) == 6
    for seq in range(1, WITHDREW + 1):
        proven = archive().verified(seq)
        assert (proven.instruction["seq"], proven.latest["seq"]) == (seq, WITHDREW)
        assert len(evidence.parse(archive().texts[seq]).checkpoint.signatures) == 2 + 3


def test_i72_the_newest_policies_suffice_as_well() -> None:
    for trusted in (archive().last, without_retired(archive().last)):
        found = evidence.parse(archive().texts[GAVE])
        assert evidence.verify(found, trusted).instruction["seq"] == GAVE


def without_retired(trusted: list[LogPolicy]) -> list[LogPolicy]:
    return [datareplace(each, logs=each.logs[:2]) for each in trusted]


def test_i72_without_the_chain_the_old_policies_do_not_suffice() -> None:
    found = evidence.parse(archive().texts[GAVE])
    for rotations in ((), found.rotations[:-2], found.rotations[2:]):
        with pytest.raises(EvidenceError):
            evidence.verify(datareplace(found, rotations=rotations), archive().first)


WAYS: dict[int, list[tuple[int, Passkey | BrowserKey | None]]] = {
    ENROLLED: [(ENROLLED, None)],
    GAVE: [(GAVE, HAND), (ENROLLED, None)],
    REPLACED: [(REPLACED, HAND), (ENROLLED, None)],
    BY_SECOND: [(BY_SECOND, SECOND), (REPLACED, HAND), (ENROLLED, None)],
    BY_DELEGATE: [
        (BY_DELEGATE, DELEGATE),
        (MANDATED, SECOND),
        (REPLACED, HAND),
        (ENROLLED, None),
    ],
    RECOVERED: [(RECOVERED, None), (ASKED, None)],
    BY_THIRD: [(BY_THIRD, THIRD), (RECOVERED, None), (ASKED, None)],
    WITHDREW: [(WITHDREW, None)],
}


@pytest.mark.parametrize("seq", WAYS)
def test_i73_it_says_how_the_key_came_to_be_the_customers(seq: int) -> None:
    found = [(each.seq, each.key) for each in archive().verified(seq).steps]
    assert found == [(each, hand.key.id if hand else None) for each, hand in WAYS[seq]]


def test_i73_each_step_says_what_it_was() -> None:
    steps = (each for seq in WAYS for each in archive().verified(seq).steps)
    assert {each.seq: each.how for each in steps} | {2: "said"} == {
        1: "enrolled a key",
        2: "said",
        3: "replaced a key",
        4: "said",
        5: "gave a mandate",
        6: "said",
        7: "asked to recover",
        8: "recovered a key",
        9: "said",
        10: "said",
    }


def test_i73_the_verifier_prints_the_way(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "kept"
    kept.write_text(archive().texts[BY_DELEGATE], newline="")
    trust = [f"--policy={archive().home}/{log}.policy" for log in ("consent", "state")]
    assert main(["--evidence", str(kept), *trust]) == 0
    said = capsys.readouterr().out
    assert "VERIFIED" in said
    assert f"by the passkey key {DELEGATE.key.id.hex()}" in said
    assert f"gave a mandate, signed by the key {SECOND.key.id.hex()}" in said
    assert "enrolled a key, in a session" in said
    assert f"latest    {WITHDREW} instructions" in said
    kept.write_text(archive().texts[BY_DELEGATE].replace('"seq":6', '"seq":60', 1), newline="")
    assert main(["--evidence", str(kept), *trust]) == 1
    assert capsys.readouterr().err.startswith("NOT VERIFIED: ")
    with pytest.raises(SystemExit):
        main(["--evidence", str(kept), "--key", str(kept)])


def test_i70_the_command_writes_what_the_verifier_reads(tmp_path: Path) -> None:
    ledger = opened(tmp_path / "home")
    give(ledger, KeyEnrolled(HAND.key))
    give(ledger, GRANTED, HAND)
    ledger.close()
    kept, home = tmp_path / "kept", str(tmp_path / "home")
    arguments = ["evidence", "c1", "2", str(kept), "--data-dir", home]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    trust = [f"--policy={home}/{log}.policy" for log in ("consent", "state")]
    assert main(["--evidence", str(kept), *trust]) == 0
    for wrong in (["evidence", "c1", "3"], ["evidence", "c9", "1"]):
        found = CliRunner().invoke(app, [*wrong, str(kept), "--data-dir", home])
        assert found.exit_code == 1


def test_i70_there_is_no_evidence_of_what_was_not_said(tmp_path: Path) -> None:
    ledger = opened(tmp_path)
    give(ledger, GRANTED)
    for subject, seq in (("c1", 0), ("c1", 2), ("c2", 1)):
        with pytest.raises(UnknownSubjectError):
            build_evidence(ledger, tmp_path, subject, seq)
    ledger.close()


def test_i70_the_quorum_of_the_policy_is_demanded() -> None:
    found = evidence.parse(archive().texts[GAVE])
    (one, *_, last) = found.checkpoint.signatures
    assert last.name.startswith("witness")
    for kept in ((one,), found.checkpoint.signatures[:-1]):
        fewer = datareplace(found.checkpoint, signatures=kept)
        entries = tuple(datareplace(each, checkpoint=fewer) for each in found.entries)
        with pytest.raises(EvidenceError):
            evidence.verify(datareplace(found, checkpoint=fewer, entries=entries), archive().first)


def test_i71_the_policies_must_list_the_logs() -> None:
    found = evidence.parse(archive().texts[GAVE])
    consent, states = archive().first
    alone = datareplace(consent, maps=states.maps)
    evidence.verify(found, [alone])  # a rotation names the state log's keys
    with pytest.raises(EvidenceError, match="no given policy has the key of the map's labels"):
        evidence.verify(found, [consent])
    never = datareplace(found, rotations=())
    for each, trusted in ((found, archive().last[1:]), (found, []), (never, archive().last[:1])):
        with pytest.raises(EvidenceError):
            evidence.verify(each, trusted)


def changed(change: Callable[[dict[str, Any]], object]) -> str:
    members: dict[str, Any] = json.loads(archive().texts[BY_THIRD])
    change(members)
    return canonical_json.canonical(members).decode() + "\n"


def other() -> dict[str, Any]:
    """Valid evidence of another customer under the same checkpoint."""
    found: dict[str, Any] = json.loads(archive().texts[0])
    return deepcopy(found)


def entry(members: dict[str, Any], seq: int) -> dict[str, Any]:
    found: dict[str, Any] = members["entries"][seq - 1]
    return found


def exchanged(one: dict[str, Any], two: dict[str, Any], name: str) -> None:
    one[name], two[name] = two[name], one[name]


def test_i75_witnesses_saw_the_request_of_a_recovery_when_it_was_made() -> None:
    way = archive().verified(BY_THIRD).steps
    assert [each.seen for each in way] == [None, None, NOON + 7 * YEAR]


def test_i75_without_a_receipt_from_then_only_the_log_says_when() -> None:
    for seq in (ENROLLED, GAVE, BY_SECOND):
        assert {each.seen for each in archive().verified(seq).steps} == {None}


@pytest.mark.parametrize("left", [[], [0], [1]])
def test_i76_a_recovery_rests_on_a_wait_that_witnesses_saw(left: list[int]) -> None:
    """Under a policy with a quorum, what the log says of the 72 hours is not enough."""
    found = evidence.parse(archive().texts[BY_THIRD])
    assert len(found.earlier_receipts) == 2
    fewer = tuple(found.earlier_receipts[each] for each in left)
    with pytest.raises(EvidenceError, match="witnesses saw 0:00:00 pass"):
        evidence.verify(datareplace(found, earlier_receipts=fewer), archive().first)


@pytest.mark.parametrize(("short", "taken"), [(0, True), (1, False)])
def test_i76_the_wait_may_be_short_by_what_clocks_differ(short: int, taken: bool) -> None:
    found = evidence.parse(archive().texts[BY_THIRD])
    kinds = {each.extra["event"]["act"]["type"]: each.index for each in found.entries}
    waited = COOLING_OFF - SKEW - timedelta(seconds=short)
    ended = (kinds["key-recovered"], NOON + waited)
    seen = {kinds["recovery-requested"]: evidence._Seen(NOON, [ended])}
    with nullcontext() if taken else pytest.raises(EvidenceError, match="witnesses saw"):
        evidence._require_waits(found, seen)


def test_i76_the_ledger_refuses_a_recovery_that_witnesses_did_not_see_wait() -> None:
    with ExitStack() as stack:
        home = Path(mkdtemp())
        opened(home / "home").close()
        clock = Clock()
        watched(home, stack, clock)
        ledger = opened(home / "home", lambda: clock.now)
        stack.callback(ledger.close)
        give(ledger, KeyEnrolled(HAND.key))
        asked = NOON - timedelta(minutes=50)
        request = give(ledger, RecoveryRequested(THIRD.key, "card", asked + COOLING_OFF), at=asked)
        recovered = KeyRecovered(envelope.digest(request.event))
        with pytest.raises(UnwitnessedTimeError, match="completes at 2026-01-04T12:00:00Z"):
            give(ledger, recovered, at=NOON + COOLING_OFF)
        clock.now = NOON + COOLING_OFF
        give(ledger, recovered, at=NOON + COOLING_OFF)
        evidence.verify(build_evidence(ledger, home / "home", "c1", 3), policies(home / "home"))


def test_i75_nothing_was_said_after_witnesses_saw_it() -> None:
    with ExitStack() as stack:
        home = Path(mkdtemp())
        opened(home / "home").close()
        clock = Clock()
        watched(home, stack, clock)
        ledger = opened(home / "home", lambda: clock.now)
        trusted = policies(home / "home")
        give(ledger, KeyEnrolled(HAND.key), at=NOON + SKEW)
        evidence.verify(build_evidence(ledger, home / "home", "c1", 1), trusted)
        give(ledger, GRANTED, HAND, at=NOON + SKEW + timedelta(seconds=1))
        with pytest.raises(EvidenceError, match="was seen by witnesses earlier"):
            evidence.verify(build_evidence(ledger, home / "home", "c1", 2), trusted)
        ledger.close()


CHANGED: dict[str, Callable[[dict[str, Any]], object]] = {
    "an entry left out": lambda m: m["entries"].pop(3),
    "the first left out": lambda m: m["entries"].pop(0),
    "the last left out": lambda m: m["entries"].pop(),
    "nothing left": lambda m: m["entries"].clear(),
    "an entry twice": lambda m: m["entries"].insert(1, m["entries"][1]),
    "two in another order": lambda m: m["entries"].reverse(),
    "another's entry put in": lambda m: m["entries"].append(other()["entries"][0]),
    "another's entry in place of one": lambda m: m["entries"].__setitem__(1, other()["entries"][0]),
    "another's entries": lambda m: m.update(entries=other()["entries"], seq=1),
    "another's state": lambda m: m.update(state=other()["state"]),
    "about none": lambda m: m.update(seq=0),
    "about one to come": lambda m: m.update(seq=WITHDREW + 1),
    "about true": lambda m: m.update(seq=True),
    "another type": lambda m: m.update(type="sovereign-evidence/v2"),
    "a part too many": lambda m: m.update(more=1),
    "a part missing": lambda m: m.pop("rotations"),
    "a signature left out": lambda m: [
        entry(m, BY_THIRD)["extra"].pop(name) for name in ("signature", "signer")
    ],
    "a signature of another instruction": lambda m: entry(m, BY_THIRD)["extra"].update(
        signature=entry(m, GAVE)["extra"]["signature"], signer=entry(m, GAVE)["extra"]["signer"]
    ),
    "an enrolment with another key": lambda m: entry(m, ENROLLED)["extra"]["event"]["act"].update(
        key=json.loads(envelope.encode(replace(FORGED, act=KeyEnrolled(THIRD.key))))["act"]["key"]
    ),
    "a shorter delay": lambda m: entry(m, ASKED)["extra"]["event"]["act"].update(
        not_before="2032-12-30T12:00:00Z"
    ),
    "two salts exchanged": lambda m: exchanged(entry(m, 1)["extra"], entry(m, 2)["extra"], "salt"),
    "two places exchanged": lambda m: exchanged(entry(m, 1), entry(m, 2), "index"),
    "two paths exchanged": lambda m: exchanged(entry(m, 1), entry(m, 2), "proof"),
    "no rotation": lambda m: m.update(rotations=[]),
    "a rotation left out": lambda m: m["rotations"].pop(2),
    "rotations in another order": lambda m: m["rotations"].reverse(),
    "a rotation twice": lambda m: m["rotations"].append(m["rotations"][-1]),
    "a path of a rotation missing": lambda m: m["rotations"][0].update(proof=[]),
    "a receipt of something else among them": lambda m: m["rotations"][0].update(
        receipt=m["rotations"][1]["receipt"]
    ),
    "a state as the checkpoint": lambda m: m.update(checkpoint=m["state"]),
    "an act of the company's among the entries": lambda m: m["entries"].insert(
        3, {"proof": m["rotations"][0]["proof"]} | of_receipt(m["rotations"][0]["receipt"])
    ),
    "a text for an event": lambda m: entry(m, GAVE)["extra"].update(event="granted"),
    "nothing for an event": lambda m: entry(m, GAVE)["extra"].update(event=None),
    "a text for a rotation": lambda m: m["rotations"][0].update(
        receipt=with_event(m["rotations"][0]["receipt"], "key-rotated")
    ),
    "a rotation without its parts": lambda m: m["rotations"][0].update(
        receipt=with_event(m["rotations"][0]["receipt"], {"type": "key-rotated"})
    ),
    "a text for a kept event": lambda m: m.update(kept=[with_event(m["kept"][0], "granted")]),
    "a kept receipt of another's entry": lambda m: m.update(kept=[other_receipt()]),
    "a kept receipt twice": lambda m: m.update(kept=m["kept"] * 2),
    "a kept receipt that nobody cosigned": lambda m: m.update(
        kept=[without_witnesses(m["kept"][0])]
    ),
    "a rotation as a kept receipt": lambda m: m.update(kept=[m["rotations"][0]["receipt"]]),
    "an older checkpoint": lambda m: m.update(
        checkpoint=m["rotations"][0]["receipt"].partition("\n\n")[2]
    ),
}
FORGED: Instruction = envelope.instruction(
    ORIGIN, "c1", 0, envelope.FIRST, GRANTED, NOON, WORDING, envelope.EvidenceClass.SESSION
)


def of_receipt(text: str) -> dict[str, Any]:
    found = receipt.parse(text)
    return {"extra": found.extra, "index": found.index}


def with_event(text: str, said: Any) -> str:
    found = receipt.parse(text)
    return str(datareplace(found, extra=found.extra | {"event": said}))


def other_receipt() -> str:
    found = evidence.parse(archive().texts[0])
    return str(found.entries[0])


def without_witnesses(text: str) -> str:
    lines = text.splitlines(keepends=True)
    return "".join(line for line in lines if "— witness.example" not in line)


@pytest.mark.parametrize("why", CHANGED)
def test_i74_evidence_is_refused_with(why: str) -> None:
    text = changed(CHANGED[why])
    assert text != archive().texts[BY_THIRD]
    with pytest.raises(EvidenceError):
        evidence.verify(evidence.parse(text), archive().first)


VALUES: list[Any] = [None, True, 0, -1, 1 << 60, "", "x", "AAAA", [], {}, {"a": 1}, ["a", "a"]]
VALUES += ["instruction", "key-enrolled"]


def places(value: Any, *above: str | int) -> Iterator[tuple[str | int, ...]]:
    """The way to every part of a JSON value."""
    if above:
        yield above
    inner = [*enumerate(value)] if isinstance(value, list) else []
    for name, each in value.items() if isinstance(value, dict) else inner:
        yield from places(each, *above, name)


@pytest.mark.parametrize("seed", range(4))
def test_i74_no_part_exchanged_for_another_value_is_accepted(seed: int) -> None:
    chance, genuine = random.Random(seed), json.loads(archive().texts[BY_THIRD])
    parts = [each for each in places(genuine) if each != ("kept",)]  # there may be none
    for _ in range(100):
        members: Any = deepcopy(genuine)
        *above, last = chance.choice(parts)
        at = reduce(lambda value, name: value[name], above, members)
        at[last] = chance.choice([each for each in VALUES if each != at[last]])
        with pytest.raises(EvidenceError):
            evidence.verify(
                evidence.parse(canonical_json.canonical(members).decode() + "\n"), archive().first
            )


def test_i74_no_changed_byte_is_accepted() -> None:
    data = archive().texts[BY_THIRD].encode()
    for at in range(0, len(data), max(1, len(data) // 200)):
        flipped = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        try:
            found = evidence.parse(flipped.decode())
            proven = evidence.verify(found, archive().first)
        except (EvidenceError, UnicodeDecodeError):
            continue
        # A signature line by a key that nobody asked for, or the question itself, may differ.
        assert proven.steps == archive().verified(proven.instruction["seq"]).steps, at
        assert changed_line(data, at) or proven.instruction["seq"] != BY_THIRD, at


STATES: dict[str, Callable[[StateProof], StateProof]] = {
    "want the newest": lambda it: datareplace(it, index=it.index - 1),
    "root": lambda it: datareplace(it, path=(bytes(32), *it.path[1:])),
    "another label or value": lambda it: datareplace(it, in_map=MapProof((bytes(32), bytes(32)))),
}


@pytest.mark.parametrize("why", STATES)
def test_i74_the_state_is_proven_in_the_newest_map(why: str) -> None:
    found = evidence.parse(archive().texts[BY_THIRD])
    assert evidence.verify(found, archive().first)
    with pytest.raises(EvidenceError, match=why):
        evidence.verify(datareplace(found, state=STATES[why](found.state)), archive().first)


def changed_line(data: bytes, at: int) -> bool:
    """Whether the byte is in a signature line (— name base64) of a note."""
    line = data.rfind(b"\\n", 0, at)
    return "—".encode() in data[line : at + 4]


MALFORMED = {
    "nothing": "",
    "a list": "[]\n",
    "null": "null\n",
    "empty": "{}\n",
    "nested far too deep": "[" * 100_000,
    "no newline": lambda: archive().texts[GAVE][:-1],
    "white space": lambda: archive().texts[GAVE].replace('"seq":', '"seq": ', 1),
    "a key twice": lambda: archive().texts[GAVE].replace('"seq":', '"seq":1,"seq":', 1),
}


@pytest.mark.parametrize("why", MALFORMED)
def test_i70_this_is_no_evidence(why: str) -> None:
    made = MALFORMED[why]
    with pytest.raises(EvidenceError):
        evidence.parse(made if isinstance(made, str) else made())  # type: ignore[operator] # a text or what makes one


def test_i70_after_an_entry_was_erased_evidence_no_longer_shows_that_all_is_there(
    tmp_path: Path,
) -> None:
    ledger = opened(tmp_path)
    give(ledger, KeyEnrolled(HAND.key))
    below = TriggerSet("segmentation", "below", "drift", 1)
    give(ledger, below)
    cleared = give(ledger, TriggerCleared("segmentation", "below", "drift"), HAND)
    give(ledger, replace(below, threshold=2))
    kept = receipt.parse(ledger.receipt(3))
    ledger.erase_entry("c1", cleared.index, NOON)
    with pytest.raises(ErasedError, match="receipts"):
        build_evidence(ledger, tmp_path, "c1", 4)
    receipt.verify(kept, ledger.log.verifiers)
    ledger.close()
    assert [*fsck(tmp_path)] == []


def test_i72_a_crash_before_the_receipts_of_a_rotation_are_kept_loses_nothing(
    tmp_path: Path,
) -> None:
    ledger = opened(tmp_path)
    give(ledger, KeyEnrolled(HAND.key))
    first = policies(tmp_path)
    ledger.rotate(tmp_path, NOON)
    ledger.close()
    for each in (tmp_path / "rotations").iterdir():
        each.unlink()
    ledger = opened(tmp_path)
    give(ledger, GRANTED, HAND)
    found = build_evidence(ledger, tmp_path, "c1", 2)
    assert evidence.verify(found, first).instruction["seq"] == 2
    ledger.close()


def test_i70_evidence_of_a_session_says_that_nobody_signed(tmp_path: Path) -> None:
    ledger = opened(tmp_path)
    give(ledger, GRANTED)
    proven = evidence.verify(build_evidence(ledger, tmp_path, "c1", 1), policies(tmp_path))
    assert proven.key is None
    assert [each.key for each in proven.steps] == [None]
    ledger.close()


def test_i22_a_condition_that_replaces_another_threshold_needs_a_key() -> None:
    """It may allow more; one that is new, or set again, does not."""
    act = {"type": "trigger-set", "scene": "s", "template": "count_over", "signal": "x"}
    three, four = act | {"threshold": 3}, act | {"threshold": 4}
    past = evidence._History()
    nobody = evidence._History(triggers={("s", "count_over", "y"): 4})
    assert past.narrows(three)
    assert nobody.narrows(three)
    past.triggers["s", "count_over", "x"] = 3
    assert past.narrows(three)
    assert not past.narrows(four)
    assert past.narrows({"type": "withdrawn"})
    assert not past.narrows({"type": "granted"})


def test_i22_a_condition_that_was_cleared_no_longer_bounds_a_new_one() -> None:
    act = {"scene": "s", "template": "count_over", "signal": "x"}
    past, four = evidence._History(), act | {"type": "trigger-set", "threshold": 4}
    nobody = Authority()
    past.add({"act": act | {"type": "trigger-set", "threshold": 3}}, 0, None, nobody)
    assert not past.narrows(four)
    past.add({"act": act | {"type": "trigger-cleared", "signal": "y"}}, 1, None, nobody)
    assert not past.narrows(four)
    past.add({"act": act | {"type": "trigger-cleared"}}, 2, None, nobody)
    assert past.narrows(four)
