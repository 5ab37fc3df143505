"""A steward's office over the small world of the gate: flow, cases, outbox, a clock in the hand."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from gate.contracts.company import ItemUse
from gate.contracts.scene import Scene
from ledger.storage.database import REMEMBERED
from steward.cases.case import Cases
from steward.change_flow import ChangeFlow
from steward.notify import masked_name
from steward.notify.outbox import NoticeSender, Outbox, OutgoingNotice, UndeliveredError
from synthetic.fitting.release import Release
from tests.gate.scenes import DOMAINS, SCENES
from tests.gate.world import NOON, World, world

ALL = tuple(DOMAINS)
ORIGIN = "test.example/consent"


def bank_release() -> Release:
    """The public record of a release fitted on the bank's customers by age and answer."""
    recorded = (Path(__file__).parent / "release.json").read_text(encoding="utf-8")
    return Release.from_body(json.loads(recorded))


@dataclass
class Office:
    home: Path
    bank: World
    flow: ChangeFlow
    cases: Cases
    outbox: Outbox

    def run(self, at: datetime = NOON) -> int:
        return self.flow.run(at)


def office(
    home: Path,
    *,
    scenes: dict[str, Scene] = SCENES,
    releases: dict[str, Release] | None = None,
    channels: Sequence[str] = ("desk",),
    bank: World | None = None,
) -> Office:
    """The ledger is in files wherever the office's own tables are."""
    bank = bank or world(home / "bank" if (home / REMEMBERED).exists() else home)
    flow = ChangeFlow(
        home,
        bank.ledger,
        scenes,
        ORIGIN,
        lambda role: [f"{each}/{role}" for each in channels],
        (releases or {}).get,
        masked_name.through(bank.gate, ItemUse("contract-service", "crm", "name")),
    )
    return Office(home, bank, flow, Cases(home), Outbox(home))


@dataclass
class Pile:
    """A sender that keeps what it is given, and fails while it is `down`."""

    letters: list[OutgoingNotice] = field(default_factory=list)
    down: bool = False

    def send(self, letter: OutgoingNotice, at: datetime) -> None:  # noqa: ARG002 - it has all day
        if self.down:
            raise UndeliveredError("the pile is down")
        self.letters.append(letter)

    def __call__(self, _channel: str) -> NoticeSender:
        return self
