"""What a replay found."""

from dataclasses import dataclass, field

from ledger.tlog.checkpoint import Checkpoint


@dataclass(frozen=True, slots=True)
class ReplayDifference:
    """An entry whose answer differs from the derived one."""

    entry: int
    logged: str
    derived: str


@dataclass(slots=True)
class ReplayReport:
    derived: int = 0  # entries with the expected answer
    unopened: int = 0  # entries about customers erased since
    differences: list[ReplayDifference] = field(default_factory=list)
    late: list[int] = field(default_factory=list)  # entries deferred to the end; empty when done
    upto: Checkpoint | None = None  # of the read log: what was replayed
    faults: list[str] = field(default_factory=list)  # of a log that cannot be verified
    unread: list[str] = field(default_factory=list)  # what could not be read, so nobody knows

    @property
    def entries(self) -> int:
        return self.derived + self.unopened + len(self.differences)

    @property
    def is_clean(self) -> bool:
        """Whether all was read, and nothing is wrong."""
        return not (self.differences or self.faults or self.unread)

    def differs(self, entry: int, logged: str, derived: str) -> None:
        self.differences.append(ReplayDifference(entry, logged, derived))

    def __add__(self, other: "ReplayReport") -> "ReplayReport":
        return ReplayReport(
            self.derived + other.derived,
            self.unopened + other.unopened,
            self.differences + other.differences,
            self.late + other.late,
            self.upto or other.upto,
            self.faults + [each for each in other.faults if each not in self.faults],
            self.unread + [each for each in other.unread if each not in self.unread],
        )
