"""A regulator draws read-log entries that nobody could foresee, and checks what is opened (Q9 on).

The company is a served bank with witnesses. What the regulator has is a copy of what it publishes.
"""

import json
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from ledger.vault import commitments
from ledger.verify.sampling.__main__ import main
from ledger.witness import own_witnesses
from tests.features.catalogue import feature
from tests.features.period_world import (
    EVERY,
    PEOPLE,
    SCENE,
    SERVICE,
    anchored,
    days,
    flip,
    newest_reads,
    size_of,
)
from tests.features.served import Site, copy_published, done, pause, published, sovereign, wait_for

READS = 6  # entries that `use` makes, at least
ALL = 1000  # more than there are: every entry is drawn
AUTHORITY = "data protection authority"
FORM = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(slots=True)
class Sampled:
    """A served bank, the regulator's copy of it, and a challenge with its openings."""

    site: Site
    folder: Path
    since: str
    nonce: str = field(default_factory=lambda: secrets.token_hex(32))
    handed_over: str = ""
    until: str = ""

    @property
    def home(self) -> Path:
        return self.site.home

    @property
    def copy(self) -> Path:
        """What is published, as a regulator gets it."""
        return self.folder / "given"

    @property
    def policy(self) -> str:
        return str(self.home / "consent.policy")

    def draw(self, out: Path, **options: str) -> int:
        """Draw from the copy."""
        chosen = {
            "nonce": self.nonce,
            "handed-over": self.handed_over,
            "sample": str(ALL),
            "from": self.since,
            "to": self.until,
        } | options
        words = [word for name, value in chosen.items() for word in (f"--{name}", value)]
        return main(["draw", str(self.copy), "--policy", self.policy, *words, "--out", str(out)])

    def check(self, challenge: Path, openings: Path, copy: Path | None = None) -> int:
        given = ["--challenge", str(challenge), "--openings", str(openings)]
        return main(["check", str(copy or self.copy), "--policy", self.policy, *given])

    def note(self) -> None:
        """Hand over the SHA-256 of the nonce, the period and the number, at the company."""
        seal = sha256(self.nonce.encode()).hexdigest()
        terms = ("--from", self.since, "--to", self.until, "--sample", str(ALL))
        printed = done("note-draw", seal, *terms, "--by", AUTHORITY, "--data-dir", self.home)
        self.handed_over = printed.split()[-1]
        while datetime.now(UTC).strftime(FORM) <= self.handed_over:
            pause(0.1)

    def open(self, challenge: Path, out: Path, *more: str) -> None:
        done("open-entries", challenge, "--out", out, "--data-dir", self.home, *more)


def use(site: Site, home: Path) -> None:
    """Reads of every kind: granted, never granted, refused, withdrawn, several at once, rows."""
    for each in PEOPLE[:2]:
        site.customer(each).switch(SCENE, "allow")
    for each in PEOPLE:
        site.read(SERVICE, SCENE, each, "age")
    outside = {"scene": SCENE, "customer": PEOPLE[0], "fields": ["no-such-field"]}
    assert site.ask(SERVICE, "/v1/read", outside).status_code == 403
    named = [{"resource": {"type": "customer", "id": each}} for each in PEOPLE]
    common = {
        "subject": {"type": "service", "id": SERVICE},
        "action": {"name": "read"},
        "context": {"scene": SCENE, "fields": ["age"]},
    }
    site.ask(SERVICE, "/access/v1/evaluations", common | {"evaluations": named})
    site.customer(PEOPLE[1]).switch(SCENE, "withdraw")
    site.read(SERVICE, SCENE, PEOPLE[1], "age")
    wait_for(lambda: [*newest_reads(home).glob("checkpoint")], "publication of reads")
    wait_for(lambda: anchored(home) >= size_of(newest_reads(home)) >= READS, "anchor of the reads")


def witnessed(home: Path) -> int:
    """The size of the newest checkpoint that witnesses saw."""
    lines = days(home)[-1].read_text().splitlines() if days(home) else []
    return int(json.loads(lines[-1]).split("\n")[1]) if lines else 0


def _copied(bank: Sampled) -> bool:
    """Copy what is published; whether the copied reads are all that the copy anchors."""
    copy_published(bank.home, bank.copy / "log")
    return anchored(bank.copy) <= size_of(newest_reads(bank.copy))


@pytest.fixture(scope="module")
def bank(unserved: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sampled]:
    folder = tmp_path_factory.mktemp("sampled")
    home = shutil.copytree(unserved, folder / "data")
    own_witnesses.make(home)
    settings = {"SOVEREIGN_JOB_EVERY_S": json.dumps(EVERY)}
    site = Site(home, folder / "log", settings=settings)
    with site.serving():
        wait_for((home / "log/consent/witnessed").is_dir, "first cosigned checkpoint")
        made = Sampled(site, folder, f"{datetime.now(UTC):{FORM}}")
        use(site, home)
        pause(1.1)  # times have whole seconds: what follows is after them
        made.until = f"{datetime.now(UTC):{FORM}}"
        made.note()
        size = size_of(home / "log" / "consent")
        site.customer(PEOPLE[2]).switch(SCENE, "allow")
        wait_for(lambda: witnessed(home) > size, "newer checkpoint")
        shown = home / "log" / "consent"
        wait_for(lambda: size_of(shown) >= witnessed(home), "publication of what was cosigned")
        wait_for(lambda: _copied(made), "copy with all that is anchored")
        yield made
    own_witnesses.stop()


@pytest.fixture(scope="module")
def challenge(bank: Sampled) -> Path:
    path = bank.folder / "challenge.json"
    assert bank.draw(path) == 0
    return path


@pytest.fixture(scope="module")
def opened(bank: Sampled, challenge: Path) -> Path:
    path = bank.folder / "openings.json"
    bank.open(challenge, path)
    return path


@pytest.fixture(scope="module")
def shown(bank: Sampled, challenge: Path) -> Path:
    path = bank.folder / "with-instructions.json"
    bank.open(challenge, path, "--instructions")
    return path


@feature("M38")
def test_q9_the_drawn_entries_are_opened_and_follow_from_what_is_published(
    bank: Sampled, challenge: Path, opened: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bank.check(challenge, opened) in {0, 3}  # 3: reads of many customers
    printed = capsys.readouterr().out
    assert re.search(
        rf"opened: .* read by {SERVICE} for {SCENE}: age personal; granted, by", printed
    )
    assert re.search(rf"opened: .* evaluate by {SERVICE} for {SCENE}", printed)
    assert "withdrawn, by entry " in printed
    assert "WRONG" not in printed


def test_q9_a_draw_follows_from_nonce_and_files_alone(bank: Sampled, tmp_path: Path) -> None:
    drawn = []
    for nonce in (bank.nonce, bank.nonce, "00" * 32, "01" * 32):
        assert bank.draw(tmp_path / "drawn", nonce=nonce, sample="3") == 0
        drawn.append(json.loads((tmp_path / "drawn").read_text()))
    assert drawn[0] == drawn[1]
    assert len({json.dumps(each["drawn"]) for each in drawn}) > 1
    assert {len(each["drawn"]) for each in drawn} == {3}
    size = drawn[0]["checkpoint"]["size"]
    assert drawn[0]["of"] >= 5
    assert size <= size_of(bank.copy / "log" / "consent")


def test_q9_nothing_is_drawn_before_witnesses_saw_a_newer_checkpoint(
    bank: Sampled, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    later = f"{datetime.now(UTC).year + 1}-01-01T00:00:00Z"
    assert bank.draw(tmp_path / "drawn", **{"handed-over": later}) == 3
    assert "NOT DRAWN: witnesses saw no new checkpoint after" in capsys.readouterr().err
    assert not (tmp_path / "drawn").exists()


MISTAKEN = {
    "a nonce that is too short": ("nonce", "abcd", "32 bytes in hex"),
    "no entries": ("sample", "0", "--sample is 0, want 1 to"),
    "a day without a time": ("from", "2026-11-30", "--from is '2026-11-30', want a time in UTC"),
    "a period that ends first": ("to", "2020-01-01T00:00:00Z", "want a time after"),
}


@pytest.mark.parametrize("why", MISTAKEN)
def test_q9_a_mistaken_argument_is_named(
    why: str, bank: Sampled, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    option, value, wanted = MISTAKEN[why]
    assert bank.draw(tmp_path / "drawn", **{option: value}) == 2
    assert re.search(wanted, capsys.readouterr().err)


def test_q10_an_opening_names_no_customer_and_has_no_value(opened: Path) -> None:
    text = opened.read_text()
    assert not any(each in text for each in PEOPLE)
    for each in json.loads(text)["openings"]:
        assert each["instruction"] is None
        assert each.keys() == {"entry", "instruction", "key", "list", "log"}


def test_q10_an_opened_entry_reveals_nothing_of_another(bank: Sampled, opened: Path) -> None:
    """No key opens, nor derives, another entry's tag: also not of the same customer."""
    openings = json.loads(opened.read_text())["openings"]
    keys = [bytes.fromhex(each["key"]) for each in openings]
    tags = {commitments.entry_tag(each) for each in keys}
    assert len(tags) == len(keys) >= 5
    for key in keys:
        for other in keys:
            derived = commitments.EntryKeys(key)
            same = [commitments.entry_tag(derived.of(at)) for at in range(64)]
            assert key == other or not tags & {*same}


def refused(bank: Sampled, challenge: Path, out: Path) -> str:
    """Why the company opens nothing."""
    ran = sovereign("open-entries", challenge, "--out", out, "--data-dir", bank.home)
    assert (ran.returncode, ran.stderr.startswith("nothing was opened: ")) == (1, True), ran.stderr
    assert not out.exists()
    return ran.stderr


def test_q11_the_company_opens_only_what_was_drawn(
    bank: Sampled, challenge: Path, tmp_path: Path
) -> None:
    """A regulator who names an entry of their choice is refused."""
    chosen = json.loads(challenge.read_text())
    fewer = tmp_path / "fewer"
    fewer.write_bytes(commitments.canonical(chosen | {"drawn": chosen["drawn"][:1]}) + b"\n")
    assert "draw other entries" in refused(bank, fewer, tmp_path / "out")


CHOSEN: dict[str, dict[str, str]] = {
    "another nonce": {"nonce": "00" * 32},
    "fewer entries": {"sample": "1"},
    "another time": {"handed-over": "2026-01-01T00:00:00Z"},
    "another period": {"from": "2026-01-01T00:00:00Z"},
}


@pytest.mark.parametrize("what", CHOSEN)
def test_q11_a_draw_that_was_not_noted_so_is_not_opened(
    what: str, bank: Sampled, tmp_path: Path
) -> None:
    """Who knows the checkpoint could try nonces, times and periods until somebody is drawn."""
    assert bank.draw(tmp_path / "drawn", **CHOSEN[what]) == 0
    why = refused(bank, tmp_path / "drawn", tmp_path / "out")
    assert ("no draw by this nonce" if what == "another nonce" else "the draw was noted at") in why


def test_q11_a_draw_is_noted_once(bank: Sampled) -> None:
    before = bank.handed_over
    bank.note()
    assert bank.handed_over == before
    seal = sha256(bank.nonce.encode()).hexdigest()
    terms = ("--from", bank.since, "--to", bank.until, "--sample", "3", "--by", AUTHORITY)
    ran = sovereign("note-draw", seal, *terms, "--data-dir", bank.home)
    assert (ran.returncode, "another draw was noted" in ran.stderr) == (1, True), ran.stderr


UNUSABLE = {
    "a seal that is too short": ("abcd", {}, "SHA-256 of the nonce as 64 digits"),
    "no entries": ("00" * 32, {"--sample": "0"}, "--sample is 0, want 1 to"),
    "a day without a time": ("00" * 32, {"--from": "2026-11-30"}, "want a time in UTC"),
    "a period that ends first": ("00" * 32, {"--to": "2020-01-01T00:00:00Z"}, "want a time after"),
    "nobody": ("00" * 32, {"--by": " "}, "want the name of the authority"),
}


@pytest.mark.parametrize("why", UNUSABLE)
def test_q11_a_draw_that_cannot_be_noted_is_refused(why: str, bank: Sampled) -> None:
    seal, changed, wanted = UNUSABLE[why]
    terms = {"--from": bank.since, "--to": bank.until, "--sample": "3", "--by": AUTHORITY}
    words = [word for option in (terms | changed).items() for word in option]
    ran = sovereign("note-draw", seal, *words, "--data-dir", bank.home)
    assert (ran.returncode, wanted in ran.stderr) == (2, True), ran.stderr


@feature("M37")
def test_q12_a_customer_sees_that_their_read_was_shown(bank: Sampled, opened: Path) -> None:
    page = bank.site.customer(PEOPLE[0]).page("/customer/reads").html
    assert AUTHORITY in page
    assert "An authority checked reads of your data" in page


def test_q13_the_instructions_that_the_entries_rest_on_are_checked(
    bank: Sampled, challenge: Path, shown: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bank.check(challenge, shown) in {0, 3}
    printed = capsys.readouterr().out
    assert "WRONG" not in printed
    assert "not-shown" not in printed
    assert PEOPLE[0] in shown.read_text()


Document = dict[str, Any]


def single(document: Document) -> list[Document]:
    """The openings of single entries that rest on an instruction."""
    return [e for e in document["openings"] if e["list"] is None]


def listed(document: Document) -> Document:
    return next(each for each in document["openings"] if each["list"] is not None)


def resting(document: Document) -> list[Document]:
    return [each for each in document["openings"] if isinstance(each["instruction"], dict)]


def exchange(document: Document) -> None:
    one, other = single(document)[:2]
    one["key"], other["key"] = other["key"], one["key"]


def another_entry(document: Document) -> None:
    one, other = single(document)[:2]
    one["entry"], other["entry"] = other["entry"], one["entry"]


def reworded(old: str, new: str) -> Callable[[Document], None]:
    def edit(document: Document) -> None:
        one = listed(document)
        assert old in one["list"]
        one["list"] = one["list"].replace(old, new)

    return edit


def exchanged_instructions(document: Document) -> None:
    acts = {e["instruction"]["event"]["act"]["type"]: e for e in resting(document)}
    one, other = acts["granted"], acts["withdrawn"]
    one["instruction"], other["instruction"] = other["instruction"], one["instruction"]


def wider(document: Document) -> None:
    event = resting(document)[0]["instruction"]["event"]
    event["act"]["scene"] = "segmentation"


def erased(document: Document) -> None:
    resting(document)[0]["instruction"] = "erased"


def hidden(document: Document) -> None:
    resting(document)[0]["instruction"] = None


def undrawn(document: Document) -> None:
    one = single(document)[0]
    document["openings"].append(one | {"entry": 1 << 20})


TAMPERINGS: dict[str, tuple[Callable[[Document], object], str, int]] = {
    "the opening of another entry": (another_entry, "wrong-key", 1),
    "exchanged pseudonyms": (exchange, "wrong-key", 1),
    "a key changed": (lambda d: single(d)[0].update(key="00" * 32), "wrong-key", 1),
    "other fields in a list": (reworded('"age"', '"job"'), "wrong-list", 1),
    "another view in a list": (reworded('"personal"', '"withheld"'), "wrong-list", 1),
    "no list": (lambda d: listed(d).update(list=None), "wrong-list", 1),
    "a list of an entry without one": (lambda d: single(d)[0].update(list="{}"), "wrong-list", 1),
    "an entry that is not opened": (lambda d: d["openings"].pop(0), "not-opened", 4),
    "nothing opened": (lambda d: d["openings"].clear(), "not-opened", 4),
    "an entry that was not drawn": (undrawn, "not-drawn", 1),
    "openings of another challenge": (
        lambda d: d.update(challenge="00" * 32),
        "other-challenge",
        1,
    ),
    "the instruction of another entry": (exchanged_instructions, "wrong-instruction", 1),
    "an instruction reworded": (wider, "wrong-instruction", 1),
    "an erasure that was not announced": (erased, "wrong-erasure", 1),
    "an instruction that is not shown": (hidden, "instruction-not-shown", 4),
}


@pytest.mark.parametrize("what", TAMPERINGS)
def test_q14_a_tampering_with_openings_is_named(
    what: str,
    bank: Sampled,
    challenge: Path,
    shown: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    tamper, named, status = TAMPERINGS[what]
    document = json.loads(shown.read_text())
    tamper(document)
    changed = tmp_path / "changed"
    changed.write_bytes(commitments.canonical(document) + b"\n")
    assert bank.check(challenge, changed) == status
    printed = capsys.readouterr().out
    word = "NOT OPENED" if status == 4 else "WRONG"
    assert any(e.startswith(word) and f": {named}: " in e for e in printed.splitlines()), printed


CHALLENGES: dict[str, Callable[[Document], object]] = {
    "another nonce": lambda d: d.update(nonce="00" * 32),
    "a checkpoint older than the nonce": lambda d: d["checkpoint"].update(size=1),
    "another root": lambda d: d["checkpoint"].update(root="A" * 43 + "="),
    "an entry left out": lambda d: d["drawn"].pop(),
    "another entry": lambda d: d["drawn"][0].update(d["drawn"][1]),
    "fewer to draw from": lambda d: d.update(of=1),
}


@pytest.mark.parametrize("what", CHALLENGES)
def test_q14_a_challenge_that_was_not_drawn_is_named(
    what: str,
    bank: Sampled,
    challenge: Path,
    opened: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    document = json.loads(challenge.read_text())
    CHALLENGES[what](document)
    changed = tmp_path / "changed"
    changed.write_bytes(commitments.canonical(document) + b"\n")
    assert bank.check(changed, opened) == 1
    assert "WRONG  challenge: wrong-challenge: " in capsys.readouterr().out


def test_q14_an_entry_that_was_changed_since_is_no_answer(
    bank: Sampled, challenge: Path, opened: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = shutil.copytree(bank.copy, tmp_path / "given")
    for each in newest_reads(copy).glob("tile/entries/**/*"):
        if each.is_file():
            flip(each)
    assert bank.check(challenge, opened, copy) == 1
    assert "WRONG" in capsys.readouterr().err


def test_q15_a_read_of_somebody_who_was_erased_is_said_to_be_one(
    bank: Sampled, opened: Path, shown: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Runs last: the customer is gone afterwards."""
    done("erase", PEOPLE[0], "--data-dir", bank.home)
    later = tmp_path / "later"
    wait_for(lambda: _announced(bank.home, "subject-erased"), "publication of the erasure")
    bank.nonce = secrets.token_hex(32)
    bank.note()
    bank.site.customer(PEOPLE[2]).switch(SCENE, "withdraw")
    drawn = tmp_path / "challenge"
    wait_for(lambda: _redrawn(bank, drawn), "draw by a newer checkpoint")
    bank.open(drawn, later, "--instructions")
    assert bank.check(drawn, later) == 3
    printed = capsys.readouterr().out
    assert "NOT DECIDED" in printed
    assert ": erased: " in printed
    assert PEOPLE[0] not in later.read_text()
    document = json.loads(later.read_text())
    for each in resting(document):
        each["instruction"] = "erased"
    said = [each for each in document["openings"] if each["instruction"] == "erased"]
    later.write_bytes(commitments.canonical(document) + b"\n")
    assert bank.check(drawn, later) == 3, "whose erasure it was shows nowhere"
    assert capsys.readouterr().out.count(": erased: ") == len(said) > 1


def _announced(home: Path, kind: str) -> bool:
    return f'"type":"{kind}"'.encode() in published(home / "log" / "consent")


def _redrawn(bank: Sampled, out: Path) -> bool:
    shutil.rmtree(bank.copy)
    copy_published(bank.home, bank.copy / "log")
    return bank.draw(out) == 0
