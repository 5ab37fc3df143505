"""Whatever happens in whatever order: who follows the feed knows what may be read (G151, G154)."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest

from gate.changes import departing, pseudonyms
from gate.changes.feed import ChangeFeed
from gate.changes.lines import FORGET
from gate.decision.decide import View
from gate.factory import build
from gate.reads.bulk.request import TableRequest
from gate.reads.bulk.table import read_rows
from gate.reads.point import Gate
from gate.reads.request import ReadRequest
from gate.storage.changes import ChangeLine
from ledger.events.acts import Granted, SourceDeleted, TriggerCleared, TriggerSet, Withdrawn
from ledger.events.envelope import ReadLogOpened, ScenePublished
from ledger.service import Ledger
from tests.campaign import sized
from tests.gate.scenes import NEWS, SCENES
from tests.gate.world import INSTANCE, NOON, PEOPLE, World, journal, options, shipped, source

SCENES_SEEN = {each.id: each for each in (*SCENES.values(), NEWS)}
SWITCHED = [each for each in SCENES_SEEN.values() if not each.locked]
SERVICES = ("analytics", "crm")
SECRET = bytes(32)
STEPS = 120
Key = tuple[str, str, str]  # customer, scene, field


def opened(ledger: Ledger, home: Path) -> Gate:
    written = journal(home, ledger)
    vkey = (home / "keys" / f"{INSTANCE}.vkey").read_text("utf-8").strip()
    ledger.announce([ReadLogOpened(written.log.origin, vkey, NOON)])
    return build(ledger, source(), SCENES_SEEN, written, shipped(), bytes(32), options=options())


@dataclass
class Follower:
    """A service, and what it believes that it may have."""

    service: str
    token: str | None = None
    may_have: dict[Key, bool] = field(default_factory=dict)
    received: set[Key] = field(default_factory=set)

    def receives(self, *key: str) -> None:
        customer, scene, name = key
        self.received.add((customer, scene, name))
        self.may_have[customer, scene, name] = True


@dataclass
class Trial:
    """A history by chance."""

    home: Path
    chance: Random
    bank: World
    feeds: list[ChangeFeed]
    at: datetime = NOON
    services: list[Follower] = field(default_factory=lambda: [Follower(e) for e in SERVICES])

    def feed(self) -> ChangeFeed:
        return ChangeFeed(self.bank.gate, self.bank.ledger, self.home, SECRET, self.at)

    def step(self) -> None:
        acts = (self.grant, self.withdraw, self.condition, self.report, self.pass_time)
        reads = (self.read, self.read, self.rows, self.poll)
        seldom = (self.erase, self.delete, self.restart)
        self.chance.choice(acts if self.chance.random() < 0.5 else reads)()
        if self.chance.random() < 0.04:
            self.chance.choice(seldom)()

    def customer(self) -> str:
        return self.chance.choice([*PEOPLE])

    def fields(self, scene: str) -> tuple[str, ...]:
        known = [*SCENES_SEEN[scene].fields]
        return tuple(self.chance.sample(known, self.chance.randint(1, len(known))))

    def scene(self) -> str:
        return self.chance.choice(SWITCHED).id

    def grant(self) -> None:
        scene = self.scene()
        end = self.chance.choice([None, timedelta(minutes=1), timedelta(hours=5)])
        until = None if end is None else self.at.replace(second=0) + end + timedelta(minutes=1)
        self.bank.says(self.customer(), Granted(scene, self.fields(scene), until), self.at)

    def withdraw(self) -> None:
        scene = self.scene()
        fields = self.fields(scene) if self.chance.random() < 0.5 else None
        self.bank.says(self.customer(), Withdrawn(scene, fields), self.at)

    def condition(self) -> None:
        scene, signal = self.chance.choice([("segmentation", "accuracy"), (NEWS.id, "complaints")])
        template = "metric_below" if signal == "accuracy" else "count_over"
        if self.chance.random() < 0.6:
            self.bank.says(self.customer(), TriggerSet(scene, template, signal, 9200), self.at)
        else:
            self.bank.says(self.customer(), TriggerCleared(scene, template, signal), self.at)

    def report(self) -> None:
        signal = self.chance.choice(["accuracy", "complaints"])
        self.bank.reports(signal, self.chance.choice([9000, 9600]), self.at)

    def pass_time(self) -> None:
        self.at += self.chance.choice(
            [timedelta(seconds=20), timedelta(minutes=1), timedelta(hours=6), timedelta(days=8)]
        )

    def read(self) -> None:
        scene, who = self.scene(), self.chance.choice(self.services)
        customer, fields = self.customer(), self.fields(scene)
        answer = self.bank.gate.read(ReadRequest(who.service, scene, customer, fields, self.at))
        for name, view in answer.views.items():
            if view is View.PERSONAL:
                who.receives(customer, scene, name)
            elif view is View.GENERALISED:
                coarser = SCENES_SEEN[scene].fields[name].generalised_by or name
                who.receives(customer, scene, coarser)

    def rows(self) -> None:
        scene, who = self.scene(), self.chance.choice(self.services)
        request = TableRequest(who.service, scene, self.fields(scene), self.at)
        answer = read_rows(self.bank.gate, request)
        for row in answer.table.to_pylist() if answer.table is not None else ():
            for name in request.fields:
                who.receives(row["customer"], scene, name)

    def erase(self) -> None:
        customer = self.customer()
        covered = departing.note(self.home, self.bank.ledger, SECRET, customer)
        self.bank.ledger.erase(customer, self.at)
        departing.settle(self.home, self.bank.ledger, covered)
        self.bank.ledger.create_keys([customer])

    def delete(self) -> None:
        self.bank.says(self.customer(), SourceDeleted(), self.at)

    def restart(self) -> None:
        self.feeds[self.chance.randrange(len(self.feeds))] = self.feed()

    def poll(self) -> None:
        """Each service follows to the end, and then knows what may be read."""
        for who in self.services:
            more = True
            while more:
                feed, limit = self.chance.choice(self.feeds), self.chance.choice([1, 2, 100])
                page = feed.page(who.service, who.token, limit, self.at)
                for each in page.lines:
                    self._apply(who, feed, each.customer, each.line)
                more, who.token = page.more, page.token
            assert {key: self.allowed(*key) for key in who.may_have} == who.may_have

    def _apply(
        self, who: Follower, feed: ChangeFeed, customer: str | None, line: ChangeLine
    ) -> None:
        if line.hash is not None:
            (customer,) = [e for e in PEOPLE if pseudonyms.hashed(feed.hash_key, e) == line.hash]
            for key in [each for each in who.may_have if each[0] == customer]:
                del who.may_have[key]
            return
        assert customer is not None
        assert line.scene is not None
        for name in line.fields:
            assert (customer, line.scene, name) in who.received
            who.may_have[customer, line.scene, name] = line.action != FORGET

    def allowed(self, customer: str, scene: str, name: str) -> bool:
        request = ReadRequest("analytics", scene, customer, (name,), self.at)
        return self.bank.gate.decide(request).views[name] is View.PERSONAL


@pytest.mark.campaign
@pytest.mark.parametrize("seed", range(sized(12, 400)))
def test_who_follows_the_feed_knows_what_may_be_read(seed: int) -> None:
    with TemporaryDirectory() as folder:
        home = Path(folder)
        ledger = Ledger.open(home, origin="test.example/consent")
        ledger.create_keys([*PEOPLE])
        ledger.announce([ScenePublished(each, "1.0.0", "0" * 64, NOON) for each in SCENES_SEEN])
        bank = World(ledger, opened(ledger, home))
        trial = Trial(home, Random(seed), bank, [])
        trial.feeds = [trial.feed(), trial.feed()]
        for _ in range(STEPS):
            trial.step()
        trial.poll()
        ledger.close()
