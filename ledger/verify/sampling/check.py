"""Compares openings with what is published: each drawn entry is opened, wrong, or not opened."""

from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import Any

from ledger.tlog.policy import LogPolicy
from ledger.vault import commitments
from ledger.verify import read_log_entry
from ledger.verify.read_log_entry import ABOUT_MANY, WITH_LIST, EntryError
from ledger.verify.sampling import challenge as challenges
from ledger.verify.sampling import grounds, population
from ledger.verify.sampling.challenge import DrawnEntry, SampleChallenge
from ledger.verify.sampling.openings import EntryOpening, Openings
from ledger.verify.sampling.population import CONSENT, ConsentActs, SamplePopulation

WORDS = {0: "sound", 1: "WRONG", 3: "not all decided", 4: "NOT OPENED"}  # by exit status


class SampleKind(StrEnum):
    """How the check of a drawn entry, or of a whole file, ends."""

    OPENED = "opened"
    ERASED = "erased"  # opened, without its instruction; whose erasure it was shows nowhere
    SEVERAL = "about-several"  # it names sets of customers, which are not opened
    EARLIER = "earlier-form"  # of an earlier version, whose entries cannot be opened alone
    UNSHOWN = "instruction-not-shown"  # another opening shows its instruction
    NOT_OPENED = "not-opened"
    NOT_DRAWN = "not-drawn"
    OTHER_CHALLENGE = "other-challenge"
    WRONG_CHALLENGE = "wrong-challenge"
    WRONG_ENTRY = "wrong-entry"
    WRONG_ERASURE = "wrong-erasure"
    WRONG_INSTRUCTION = "wrong-instruction"
    WRONG_KEY = "wrong-key"
    WRONG_LIST = "wrong-list"
    WRONG_PLAN = "wrong-plan"
    WRONG_POSITION = "wrong-position"

    @property
    def status(self) -> int:
        """The exit status that it asks for: 1 wrong, 3 could not be looked into, 4 not opened."""
        if self is SampleKind.OPENED:
            return 0
        if self in {SampleKind.ERASED, SampleKind.SEVERAL, SampleKind.EARLIER}:
            return 3
        return 4 if self in {SampleKind.NOT_OPENED, SampleKind.UNSHOWN} else 1


@dataclass(frozen=True, slots=True)
class SampleFinding:
    """What was found of one drawn entry; `place`: log, index, and index in its list."""

    place: str
    kind: SampleKind
    message: str


class _WrongOpeningError(Exception):
    def __init__(self, kind: SampleKind, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def status(findings: list[SampleFinding]) -> int:
    """The exit status: wrong outweighs not opened, and that outweighs not looked into."""
    found = {each.kind.status for each in findings}
    return next((each for each in (1, 4, 3) if each in found), 0)


def check(
    home: Path, trust: LogPolicy, asked: SampleChallenge, given: Openings
) -> list[SampleFinding]:
    """Compare openings with the challenge and the published files.

    Raises ChallengeError, UnsoundLogError, UnreadableError, as `population.drawn` does.
    """
    known = population.drawn(home, trust, asked.request)
    if known.challenge != asked:
        what = "the published files and the nonce draw other entries, or by another checkpoint"
        return [SampleFinding("challenge", SampleKind.WRONG_CHALLENGE, what)]
    if given.challenge != asked.digest:
        what = f"the openings answer the challenge {given.challenge}, this one is {asked.digest}"
        return [SampleFinding("openings", SampleKind.OTHER_CHALLENGE, what)]
    opened = {each.drawn: each for each in given.openings}
    consent = _with_roots(home, trust, known)
    every = any(each.instruction is not None for each in given.openings)
    checker = _Checker(known, consent, every)
    findings = [checker.finding(each, opened.pop(each, None)) for each in asked.drawn]
    findings += [
        SampleFinding(_place(each), SampleKind.NOT_DRAWN, "it is opened, and was not drawn")
        for each in opened
    ]
    return findings


def _with_roots(home: Path, trust: LogPolicy, known: SamplePopulation) -> ConsentActs:
    """The consent log with its roots at the sizes that the drawn entries name."""
    sizes = set()
    for each in known.challenge.drawn:
        entry = read_log_entry.parse(known.parts[each.log].leaf(each.entry))
        size = entry["consent"].get("size")
        sizes.add(size if type(size) is int else 0)
    return ConsentActs.read(home / CONSENT, trust, frozenset(sizes))


@dataclass(frozen=True, slots=True)
class _Checker:
    known: SamplePopulation
    consent: ConsentActs
    every: bool  # whether instructions are shown

    def finding(self, drawn: DrawnEntry, opening: EntryOpening | None) -> SampleFinding:
        """What is found of one drawn entry. Raises UnreadableError."""
        entry = read_log_entry.parse(self.known.parts[drawn.log].leaf(drawn.entry))
        place = _place(drawn)
        try:
            self._require_consent(entry)
            if entry["action"] in ABOUT_MANY:
                self._require_plan(entry)
                return SampleFinding(place, SampleKind.SEVERAL, _line(entry, None))
            if opening is None and _is_earlier(entry):
                return SampleFinding(place, SampleKind.EARLIER, _line(entry, None))
            if opening is None:
                what = "the company did not open it"
                return SampleFinding(place, SampleKind.NOT_OPENED, what)
            one = self._one(drawn, entry, opening)
            kind, message = self._opened(one, entry["consent"]["size"], opening)
            return SampleFinding(place, kind, message)
        except _WrongOpeningError as error:
            return SampleFinding(place, error.kind, str(error))

    def _one(
        self, drawn: DrawnEntry, entry: dict[str, Any], opening: EntryOpening
    ) -> dict[str, Any]:
        """The entry, or the decision of its list that the challenge chooses."""
        if entry["action"] not in WITH_LIST:
            if opening.listing is not None:
                raise _WrongOpeningError(SampleKind.WRONG_LIST, "the entry names no list")
            return entry
        data = (opening.listing or "").encode()
        if sha256(data).hexdigest() != entry["list"]:
            what = "the list shown is not the one that the entry names by SHA-256"
            raise _WrongOpeningError(SampleKind.WRONG_LIST, what)
        try:
            decisions = read_log_entry.decisions(data, entry)
        except EntryError as error:
            raise _WrongOpeningError(SampleKind.WRONG_LIST, str(error)) from error
        return decisions[challenges.place(self.known.challenge.seed, drawn, len(decisions))]

    def _opened(
        self, one: Mapping[str, Any], size: int, opening: EntryOpening
    ) -> tuple[SampleKind, str]:
        tag = one["subject"]
        if not commitments.is_openable(tag):
            return SampleKind.EARLIER, _line(one, None)
        if commitments.entry_tag(opening.key) != tag:
            what = "the key opens another entry, or none: its hash is not the entry's tag"
            raise _WrongOpeningError(SampleKind.WRONG_KEY, what)
        if not isinstance(one["determined_by"], str):
            what = "it names what it rests on as a number, which no entry of this form does"
            raise _WrongOpeningError(SampleKind.WRONG_ENTRY, what)
        pad = commitments.entry_pad(opening.key)
        position = commitments.unmasked(one["determined_by"], pad)
        wrong = grounds.position_finding(one, position, size, self.consent)
        _require(SampleKind.WRONG_POSITION, wrong)
        self._require_plan({**one, "consent": {"size": size}})
        return self._with_instruction(one, size, position, opening), _line(one, position)

    def _with_instruction(
        self, one: Mapping[str, Any], size: int, position: int | None, opening: EntryOpening
    ) -> SampleKind:
        shown = opening.instruction
        if position is None:
            _require(
                SampleKind.WRONG_INSTRUCTION,
                None if shown is None else "it rests on no instruction, and one is shown",
            )
            return SampleKind.OPENED
        if shown is None:
            return SampleKind.UNSHOWN if self.every else SampleKind.OPENED
        if isinstance(shown, str):  # the parser lets nothing else through
            what = f"the consent log announces no erasure after its entry {size}"
            _require(SampleKind.WRONG_ERASURE, None if self.consent.erased_after(size) else what)
            return SampleKind.ERASED
        wrong = grounds.instruction_finding(one, position, shown, self.consent)
        _require(SampleKind.WRONG_INSTRUCTION, wrong)
        return SampleKind.OPENED

    def _require_consent(self, entry: Mapping[str, Any]) -> None:
        """Raise unless the entry rests on a beginning of this consent log."""
        named = entry["consent"]
        root = self.consent.roots.get(named.get("size"))
        if root is None or named.get("root") != b64encode(root).decode():
            what = f"the consent log has another root for {named.get('size')} entries"
            raise _WrongOpeningError(SampleKind.WRONG_ENTRY, what)

    def _require_plan(self, entry: Mapping[str, Any]) -> None:
        wrong = grounds.plan_finding(entry, entry["consent"]["size"], self.consent)
        _require(SampleKind.WRONG_PLAN, wrong)


def _require(kind: SampleKind, wrong: str | None) -> None:
    if wrong is not None:
        raise _WrongOpeningError(kind, wrong)


def _is_earlier(entry: Mapping[str, Any]) -> bool:
    """Whether a single entry is of an earlier version; of a batch only its list can tell."""
    tag = entry.get("subject")
    return isinstance(tag, str) and not commitments.is_openable(tag)


def _place(drawn: DrawnEntry) -> str:
    return f"{drawn.log}#{drawn.entry}"


def _line(entry: Mapping[str, Any], position: int | None) -> str:
    """An entry for people: when, for whom, for what, what was given, and why."""
    views = ", ".join(f"{name} {view}" for name, view in entry["views"].items()) or "nothing"
    rests = "" if position is None else f", by entry {position}"
    return f"{entry['at']}  {read_log_entry.asking(entry)}: {views}; {entry['reason']}{rests}"


def lines(findings: list[SampleFinding]) -> Iterator[str]:
    """One line for each finding, those that are wrong first."""
    words = {0: "", 1: "WRONG  ", 3: "NOT DECIDED  ", 4: "NOT OPENED  "}
    for each in sorted(findings, key=lambda each: each.kind.status != 1):
        yield f"{words[each.kind.status]}{each.place}: {each.kind}: {each.message}"
