"""Regulators' samples of read logs: what they will draw, and what was opened for them.

    draw-noted  open:   {"by":"data protection authority","from":"2026-11-01T00:00:00Z",
                        "sample":20,"seal":"<64 hex>","to":"2026-12-01T00:00:00Z"}
    sampled     open:   {"by":"data protection authority","challenge":"<64 hex>"}
                sealed: {"entry":12,"log":"bank.example/reads-1a2b3c4d"}

A draw is noted before anybody can know what is drawn, and is opened only as it was noted. What is
opened of a customer is an entry under their pseudonym, written before, so an erasure covers it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from ledger.verify.sampling.challenge import ChallengeRequest, seal
from ledger.verify.times.attested import FORMAT
from ledger.verify.times.from_log import moment
from steward.oversight.register import Register, RegisterEntry, UnsealableError

NOTED, SAMPLED = "draw-noted", "sampled"
SECOND = timedelta(seconds=1)


class DrawError(Exception):
    """The draw was not noted, or was noted otherwise. Nothing was noted or opened."""


@dataclass(frozen=True, slots=True)
class DrawTerms:
    """What an authority said before it drew: whose, by which nonce, of what, and how many.

    `seal`: SHA-256 of the nonce's digits, in hex.
    """

    by: str
    seal: str
    since: datetime
    until: datetime
    sample: int


@dataclass(frozen=True, slots=True)
class NotedDraw:
    """`at`: from when its checkpoint counts, the end of the second in which it was noted."""

    terms: DrawTerms
    at: datetime


@dataclass(frozen=True, slots=True)
class SampledEntry:
    """An entry that an authority was shown: who, when, and which."""

    by: str
    at: datetime
    log: str
    entry: int


class SampledEntries:
    """Records and lists draws and what was opened. Thread-safe; durable on return."""

    def __init__(self, register: Register) -> None:
        self._register = register

    def note(self, terms: DrawTerms, at: datetime) -> NotedDraw:
        """Note a draw; one that was noted before with the same terms keeps its time.

        Raises DrawError for another draw by the same nonce.
        """
        with self._register.writing() as writing:
            before = _noted(writing.about_nobody(NOTED), terms.seal)
            if before is not None and before.terms != terms:
                raise DrawError(f"by this nonce another draw was noted: {_words(before.terms)}")
            if before is not None:
                return before
            shown = {
                "by": terms.by,
                "from": f"{terms.since:{FORMAT}}",
                "sample": terms.sample,
                "seal": terms.seal,
                "to": f"{terms.until:{FORMAT}}",
            }
            noted = NotedDraw(terms, at.replace(microsecond=0) + SECOND)
            writing.append(NOTED, None, shown, None, noted.at)
        return noted

    def require_noted(self, asked: ChallengeRequest) -> NotedDraw:
        """The draw as it was noted. Raises DrawError if it was not, or if `asked` differs."""
        noted = _noted(self._register.entries(NOTED), seal(asked.nonce))
        if noted is None:
            raise DrawError(
                "no draw by this nonce was noted before (`sovereign note-draw`): whoever knows the "
                "checkpoint can choose a nonce that draws the entries they want"
            )
        terms = noted.terms
        wanted = (noted.at, terms.since, terms.until, terms.sample)
        if wanted != (asked.handed_over, asked.since, asked.until, asked.sample):
            raise DrawError(
                f"the draw was noted at {noted.at:{FORMAT}}, of {_words(terms)}: draw so, and no "
                "other period, number or time"
            )
        return noted

    def record(
        self, opened: dict[str, list[tuple[str, int]]], by: str, digest: str, at: datetime
    ) -> None:
        """Record what is opened of each customer: log and entry. `digest`: of the challenge."""
        shown = {"by": by, "challenge": digest}
        with self._register.writing() as writing:
            for subject, entries in opened.items():
                for log, entry in entries:
                    try:
                        writing.append(SAMPLED, subject, shown, {"entry": entry, "log": log}, at)
                    except UnsealableError:  # erased meanwhile: nobody can read it any more
                        continue

    def of(self, subject: str) -> list[SampledEntry]:
        """What authorities were shown of a customer's reads, newest first."""
        return [
            SampledEntry(entry.open["by"], entry.at, str(private["log"]), int(private["entry"]))
            for entry, private in reversed(self._register.of(subject, SAMPLED))
            if private
        ]


def _noted(entries: Iterable[RegisterEntry], by: str) -> NotedDraw | None:
    for each in entries:
        shown = each.open
        if shown["seal"] == by:
            since, until = moment(shown["from"]), moment(shown["to"])
            terms = DrawTerms(shown["by"], by, since, until, shown["sample"])
            return NotedDraw(terms, each.at)
    return None


def _words(terms: DrawTerms) -> str:
    period = f"{terms.since:{FORMAT}} to {terms.until:{FORMAT}}"
    return f"{terms.sample} entries from {period}"
