"""Entries of read logs that were opened for a regulator's sample, visible to their customers.

    sampled    open:   {"by":"data protection authority","challenge":"<64 hex>"}
               sealed: {"entry":12,"log":"bank.example/reads-1a2b3c4d"}

It is an entry of the register under the customer's pseudonym, written before anything is opened, so
an erasure of the customer covers it.
"""

from dataclasses import dataclass
from datetime import datetime

from steward.oversight.register import Register, UnsealableError

SAMPLED = "sampled"


@dataclass(frozen=True, slots=True)
class SampledEntry:
    """An entry that an authority was shown: who, when, and which."""

    by: str
    at: datetime
    log: str
    entry: int


class SampledEntries:
    """Records and lists what was opened. Thread-safe; durable on return."""

    def __init__(self, register: Register) -> None:
        self._register = register

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
