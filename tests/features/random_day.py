"""A day of a served bank at random: does each customer's page show every value that left?

    VALUES=1000000 pytest -s --prove tests/features/test_random_day.py

A portal and a gate beside it are started as their users start them. Services ask both, in every
shape, while customers allow and withdraw, exclude items, send their browser's signal and are
erased, clients hang up, and both processes are restarted or killed. What is expected is counted
from the answers that arrived. A read whose answer broke off may be on the page or not. An answer
that arrived whole is delivered, or unknown if the gate was killed just after it; what is cut is no
more than the answers that broke off. Pages are read at the end, once for each customer.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import httpx

from tests.features.reads_page import PORTAL, SCENES, SOURCE, Shown, marked, read, reads
from tests.features.served import PATIENCE_S, Running, Site, wait_for
from tests.features.test_complete_reads import Ask, Watched
from tests.features.test_killed_reads import gate_alone
from tests.features.test_own_reads import Published, _published, _shown

GROUPED = "segmentation"  # its tables leave in groups, whose members no answer names
ANSWERLESS = {GROUPED, "anonymous-statistics"}
SIGNAL = {"Sec-GPC": "1"}
EVERY = '{"publication": 0.5, "anchoring": 0.5, "read-logs": 0.5}'
LATER = (503, 429)  # a process that has just started, or that follows


@dataclass
class Both(Site):
    """A portal and gates beside it, each of which answers services."""

    chance: Random = field(default_factory=Random)
    gates: list[str] = field(default_factory=list)

    def ask(
        self, service: str, path: str, body: Mapping[str, Any], accept: str = "application/json"
    ) -> httpx.Response:
        headers = {"Authorization": f"Bearer demo-{service}", "Accept": accept}

        def answered() -> httpx.Response | None:
            address = self.chance.choice([self.address, *self.gates])
            asked = httpx.post(f"{address}{path}", headers=headers, json=body, timeout=PATIENCE_S)
            return None if asked.status_code in LATER else asked

        return wait_for(answered, f"answer to {path}")


class Day(Watched):
    """`given`: see Watched. `perhaps`: reads whose answer broke off.

    `values`: personal values that arrived, of the customers whose pages are looked at.
    """

    def __init__(self, home: Path, people: list[str], chance: Random) -> None:
        super().__init__(home, people)
        self.chance, self.values = chance, 0
        self.site: Both = Both(home, home.parent / "server.log", chance=chance)
        self.site.settings = {"SOVEREIGN_JOB_EVERY_S": EVERY}
        self.perhaps: dict[str, Counter[Shown]] = {each: Counter() for each in people}
        self.erased: dict[str, Counter[Shown]] = {}
        self.broken_off = 0
        self.marks = Counter[str]()  # of the reads on all pages
        self._beside = ExitStack()
        self._gate: Running | None = None

    # The processes

    def open_gate(self) -> None:
        address, self._gate = self._beside.enter_context(gate_alone(self.site))
        self.site.gates = [address]

    def close_gate(self) -> None:
        self.site.gates = []
        self._beside.close()
        self._gate = None

    def restart(self) -> None:
        self.stop()
        self.start()

    def restart_gate(self) -> None:
        self.close_gate()
        self.open_gate()

    # What services do

    def some_ask(self) -> Ask:
        """Random fields; never the name alone, which the product itself reads for the desk."""
        scene = self.chance.choice([each for each in SCENES.values() if each.id not in ANSWERLESS])
        titles = {each.id: each.title["en"] for each in scene.services}
        service = self.chance.choice([name for name, title in titles.items() if title != PORTAL])
        names = [name for name in scene.fields if not SOURCE.items[name].provided]
        some = self.chance.sample(names, self.chance.randint(2, len(names)))
        fields = names if self.chance.random() < 0.5 else some
        return service, scene.id, tuple(fields)

    def bulk(self) -> None:
        ask = self.some_ask()
        old = ("age", self.chance.choice(("ge", "lt")), self.chance.randint(20, 80))
        conditions = (old,) if "age" in SCENES[ask[1]].fields and self.chance.random() < 0.5 else ()
        named = self.rows(ask, *conditions)
        times = 1
        if self.chance.random() < 0.3:
            self.table(ask, *conditions)  # asks for the rows of the same customers once more
            times = 3
        self.values += times * len(named & self.given.keys()) * len(ask[2])

    def one(self) -> None:
        self.point(self.some_ask(), self.chance.choice(self.people))

    def several(self) -> None:
        self.evaluate(self.some_ask(), *self.chance.sample(self.people, 3))

    def whoever(self) -> None:
        self.search(self.some_ask())

    def hang_up(self) -> None:
        """A client leaves before it has its answer; the customers of the rows may see the read."""
        ask = self.some_ask()
        named = self.rows(ask)
        service, scene, fields = ask
        body = {"scene": scene, "fields": [*fields]}
        headers = {"Authorization": f"Bearer demo-{service}"}
        address = self.chance.choice([self.site.address, *self.site.gates])
        with (
            httpx.Client(base_url=address, headers=headers, timeout=PATIENCE_S) as client,
            client.stream("POST", "/v1/rows", json=body) as answer,
        ):
            answer.close()
        self.broken_off += 1
        for each in named & self.perhaps.keys():
            self.perhaps[each][read("rows", service, scene, fields)] += 1

    def point(self, ask: Ask, subject: str) -> None:
        before = self.given[subject].copy()
        super().point(ask, subject)
        (shown,) = self.given[subject] - before
        self.values += len(shown.items)

    # What customers do

    def press(self) -> None:
        who, scene = self.chance.choice(self.people), self.chance.choice(LOOSE)
        person = self.customer(who)
        wish = self.chance.choice(("allow", "allow", "withdraw"))
        if self.chance.random() < 0.5:
            person.switch(scene, wish)
        elif (
            f"/customer/scenes/{scene}/items/"
            in (page := person.page(f"/customer/scenes/{scene}")).html
        ):
            items = [n for n in SCENES[scene].fields if f"/items/{n}/withdraw" in page.html]
            if items:
                person.switch_item(scene, self.chance.choice(items), "withdraw")

    def send_signal(self) -> None:
        who = self.chance.choice(self.people)
        visitor = self.site.visitor(**SIGNAL)
        assert visitor.client.post("/login", data={"customer": who}).status_code == 200

    def leave(self, folder: Path) -> None:
        """Erase a customer, who takes the keys of their reads along."""
        who = self.chance.choice(self.people)
        keys = self.customer(who).client.get("/customer/reads/keys")
        (folder / f"{who}.json").write_bytes(keys.content)
        self.erased[who] = self.given[who]
        self.erase(who)

    # Whether it is all there

    def differences(self) -> dict[str, Any]:
        """Customers on whose page a read is missing, unasked for, or marked wrongly."""
        found = {}
        for each in self.people:
            shown, cut = Counter[Shown](), Counter[Shown]()
            for (row, delivery), count in marked(self.customer(each)).items():
                shown[row] += count
                self.marks[delivery] += count
                cut[row] += count * (delivery == "cut")
            missing = self.given[each] - shown
            invented = shown - self.given[each] - self.perhaps[each]
            if missing or invented or cut - self.perhaps[each]:
                found[each] = missing, invented, cut - self.perhaps[each]
        return found

    def differences_of_erased(self, folder: Path) -> dict[str, Any]:
        """Erased customers whose own program finds other reads in the published logs."""
        published, found = PublishedThen(self, folder), {}
        for each, given in self.erased.items():
            own = _shown(_published(published, folder / f"{each}.json"))
            missing, invented = given - own, own - given - self.perhaps[each]
            if missing or invented:
                found[each] = missing, invented
        return found


class PublishedThen(Published):
    """Gives the program the logs alone that its file of keys is about."""

    def words(self, keys: Path, *more: str | Path) -> list[str | Path]:
        known, logs = keys.read_text("utf-8"), self.site.home / "log"
        words = super().words(keys, *more)
        return [
            each
            for each in words
            if not isinstance(each, Path)
            or each.parent != logs
            or not each.name.startswith("reads-")
            or f"/{each.name}" in known
        ]


LOOSE = sorted(each.id for each in SCENES.values() if each.needs_consent)


def play(day: Day, folder: Path, goes_on: Callable[[], bool], *, every: int) -> None:
    """Act until it is over. `every`: acts between two restarts."""
    day.start()
    for each in day.people:
        day.given[each] = reads(day.customer(each))
    day.open_gate()
    number = 0
    while goes_on():
        number += 1
        acts: list[Callable[[], object]] = [
            *[day.bulk] * 30,
            *[day.one, day.press] * 6,
            *[day.several, day.whoever] * 2,
            day.send_signal,
            day.hang_up,
        ]
        if number % every == every // 3:
            acts = [day.restart_gate]
        elif number % every == 2 * every // 3:
            acts = [day.restart]
        elif number % every == 0 and len(day.people) > 3:
            acts = [lambda: day.leave(folder)]
        day.chance.choice(acts)()
