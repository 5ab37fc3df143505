"""Whole gates and the model of specs/model, over random companies, histories and requests.

A trial writes a company's folder. The product reads it and serves a gate over a real ledger and a
real source; the model reads the same files itself. Customers instruct, signals arrive, contracts
are announced, people are erased and return. In between services ask in every shape, over HTTP.
Both must give the same answer: views, values, reason, determining entry, whom rows name.

    python -m tests.gate.random_gates --requests 100000 --seed 1
"""

import argparse
import asyncio
import json
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

from gate.contracts import company
from gate.contracts.company import Company
from gate.decision.quota import Quota, Quotas
from gate.factory import build
from gate.http.app import GateApp
from gate.reads.sources.duckdb import DuckDBSource
from ledger.events import envelope
from ledger.events.acts import OF_THE_COMPANY
from ledger.events.envelope import (
    Act,
    Event,
    EvidenceClass,
    Granted,
    Imported,
    Instruction,
    PublicEvent,
    ScenePublished,
    SignalReported,
    TriggerCleared,
    TriggerSet,
    Withdrawn,
)
from ledger.service import Ledger
from portal.operations.wiring import known_by
from specs.model import contract as contracts_model
from specs.model import gate as model
from specs.model.consent import History, Json
from specs.model.contract import Contract
from specs.model.gate import Facts
from specs.model.quota import Counted
from tests.gate import random_changes
from tests.gate.hostile import Case, play
from tests.gate.random_company import CONDITIONS, ROWS, SCENES, SERVICES, SHARING, people, write
from tests.gate.world import NOON, WORDING, Constant, journal, options, shipped

WITHOUT_ROW = "c7"
WITHOUT_KEY = "c6"
SUBJECTS = (*ROWS, WITHOUT_ROW)
STEPS, ASKED = 30, 5  # of one history, and requests after each step
FILTERS: tuple[tuple[str, str, Any], ...] = (
    ("age", "ge", 44),
    ("age", "lt", 58),
    ("job", "eq", "admin"),
    ("job", "ne", "admin"),
    ("housing", "in", ["yes"]),
)
OTHER: Json = {"type": "another-act"}
Answered = tuple[Any, ...]


@dataclass
class Result:
    """`answered`: by shape and reason."""

    requests: int = 0
    values: int = 0  # personal, in all answers
    answered: Counter[str] = field(default_factory=Counter)
    mismatches: list[str] = field(default_factory=list)

    def __add__(self, other: "Result") -> "Result":
        return Result(
            self.requests + other.requests,
            self.values + other.values,
            self.answered + other.answered,
            self.mismatches + other.mismatches,
        )


def run(requests: int, seed: int) -> Result:
    """At least so many requests, trial by trial until the first that has a mismatch."""
    result, number = Result(), 0
    while result.requests < requests and not result.mismatches:
        with TemporaryDirectory() as folder:
            result += Trial(Path(folder), Random(f"{seed}/{number}")).result()
        number += 1
    return result


class Tokens:
    """The token of a service is its name."""

    def service(self, headers: Mapping[bytes, bytes]) -> str | None:
        return headers[b"authorization"].removeprefix(b"Bearer ").decode() or None


class Trial:
    def __init__(self, home: Path, chance: Random) -> None:
        self.chance, self.at, self.subjects = chance, NOON, SUBJECTS
        write(home / "company", chance)
        self.company = company.load(home / "company")
        self.contracts = contracts_model.company(home / "company")
        self.limits = contracts_model.limits(home / "company")
        self.ledger = Ledger.open(home, origin=self.company.origin)
        self.entries: dict[int, Json] = {}
        self.erased: list[tuple[str, int]] = []
        self.keys = {*SUBJECTS} - {WITHOUT_KEY}
        self.ledger.create_keys(sorted(self.keys))
        self.released = {name for name in SCENES if chance.random() < 0.6}
        self.counted: list[Counted] = []
        self.suspended: set[str] = set()
        self.source = DuckDBSource(people(home / "people.duckdb"))
        self.gate = build(
            self.ledger,
            self.source,
            self.company.scenes,
            journal(home, self.ledger),
            shipped(),
            bytes(32),
            releases={name: [Constant()] for name in self.released},
            options=options(
                quotas=Quotas(_quotas(self.company), alarm=lambda _: None),
                known_by=known_by(self.company.source),
            ),
        )
        self.app = GateApp(self.gate, Tokens(), clock=lambda: self.at)
        self.found, self.runner = Result(), asyncio.Runner()

    def result(self) -> Result:
        try:
            for scene, contract in self.company.scenes.items():
                if self.chance.random() < 0.9:
                    self._announce(ScenePublished(scene, contract.version, "0" * 64, NOON))
            for subject in (*ROWS, WITHOUT_ROW)[:5]:
                for scene in self.chance.sample(SCENES, 2):
                    fields = tuple(self.contracts[scene].fields)
                    self.instruct(subject, Granted(scene, fields, None))
            for _ in range(STEPS):
                self._step()
                for _ in range(ASKED):
                    self._ask()
                    if self.found.mismatches:
                        return self.found
        finally:
            self.runner.close()
            self.ledger.close()
        return self.found

    # What happens

    def _step(self) -> None:
        chance, kind = self.chance, self.chance.random()
        self.at += timedelta(seconds=chance.choice((0, 1, 59, 60, 3_600, 86_400)))
        if kind < 0.12:
            signal = chance.choice(CONDITIONS)[1]
            source, value = chance.choice(("monitor", "monitor", "else")), _figure(chance)
            moment = self.at - timedelta(seconds=chance.choice((-60, 0, 1, 3_600)))
            self._announce(SignalReported(source, signal, value, moment))
        elif kind < 0.18:
            scene, version = chance.choice(SCENES), chance.choice(("0.9.0", "1.0.0", "1.2.0"))
            own = self.company.scenes[scene].version
            self._announce(
                ScenePublished(scene, chance.choice((version, own, "3.0.0")), "0" * 64, self.at)
            )
        elif kind < 0.24:
            self._erase(chance.choice(SUBJECTS))
        elif kind < 0.25:
            self.suspended.add(scene := chance.choice(SCENES))
            self.gate.suspend(scene)
        elif kind < 0.27:
            self.ledger.create_keys([WITHOUT_KEY])
            self.keys.add(WITHOUT_KEY)
        elif kind < 0.34:
            self._require(random_changes.change(self))
        else:
            self.instruct(chance.choice(SUBJECTS), self._act())

    def instruct(self, subject: str, *acts: Act) -> None:
        """Record the acts together."""
        drafts: list[Instruction] = []
        for act in acts:
            company = type(act) in OF_THE_COMPANY or len(acts) > 1
            evidence = EvidenceClass.IMPORTED if company else EvidenceClass.SESSION
            drafts.append(
                drafts[-1].next(act, at=self.at, wording=WORDING)
                if drafts
                else self.ledger.draft(subject, act, at=self.at, wording=WORDING, evidence=evidence)
            )
        for draft, recorded in zip(drafts, self.ledger.record(drafts), strict=True):
            self.entries[recorded.index] = _json(draft)

    def _require(self, made: random_changes.Change | None) -> None:
        """`made`: what the company did at its source, and what is allowed wrongly since."""
        if made is None:
            return
        what, wider = made
        self.found.answered[f"{what} recorded"] += 1
        if wider:
            nothing = model.Request("", "", "", (), self.at)
            self.found.mismatches.append(self._mismatch(what, nothing, wider, []))

    def _announce(self, event: PublicEvent) -> None:
        (recorded,) = self.ledger.announce([event])
        self.entries[recorded.index] = _json(event)

    def _erase(self, subject: str) -> None:
        known = any(self.past().of(subject)) or subject in self.keys
        if known and (subject, self.ledger.size) not in self.erased:
            self.ledger.erase(subject, self.at)
            self.keys.discard(subject)
            self.erased.append((subject, self.ledger.size))

    def _act(self) -> Act:
        chance = self.chance
        scene = chance.choice((*SCENES, *SCENES, *SCENES, "no-such-scene"))
        names = [*self.contracts[scene].fields] if scene in self.contracts else ["age"]
        fields = tuple(chance.sample(names, chance.randint(1, len(names))))
        fields = chance.choice((fields, (*names,), (*names,), (*names, "shoe_size")))
        offered = self.contracts[scene].conditions if scene in self.contracts else ()
        pairs = [(each.template, each.signal) for each in offered] * 3
        template, signal = chance.choice([*pairs, *CONDITIONS])
        until = chance.choice((None, None, self._minute(0), self._minute(60), self._minute(9_999)))
        acts: list[Act] = [
            *[Granted(scene, fields, until)] * 10,
            Imported(scene, fields, until, "old crm"),
            *[Withdrawn(scene)] * 2,
            *[Withdrawn(scene, fields[: chance.randint(1, len(fields))])] * 3,
            *[TriggerSet(scene, template, signal, _figure(chance))] * 3,
            TriggerCleared(scene, template, signal),
        ]
        return chance.choice(acts)

    def _minute(self, later: int) -> datetime:
        return self.at.replace(second=0) + timedelta(minutes=later)

    # What is asked

    def _ask(self) -> None:
        chance = self.chance
        scene = chance.choice((*SCENES * 9, "no-such-scene"))
        names = [*self.contracts[scene].fields] if scene in self.contracts else ["age"]
        fields = chance.sample(names, chance.randint(1, min(3, len(names))))
        fields = [*fields, "shoe_size"] if chance.random() < 0.02 else fields
        fields = [] if chance.random() < 0.02 else fields
        shape = chance.choice(("read",) * 6 + ("evaluate",) * 4 + ("search",) * 2 + MANY)
        admitted = self.contracts[scene].services if scene in self.contracts else {"crm": False}
        inside = sorted(name for name in admitted if name != "broker" or scene == SHARING)
        service = chance.choice((*(inside or SERVICES) * 12, *SERVICES, "stranger"))
        subject = chance.choice((*SUBJECTS, *SUBJECTS, *SUBJECTS, "nobody"))
        request = model.Request(service, scene, subject, tuple(fields), self.at)
        asked = ASKS[shape](self, request)
        if asked is not None:
            got, expected = asked
            self.found.requests += 1
            self.found.answered[f"{shape} {got[0]}"] += 1
            if got != expected:
                self.found.mismatches.append(self._mismatch(shape, request, got, expected))

    def _mismatch(self, *what: object) -> str:
        shape, request, got, expected = what
        said = [f"{n}: {e}" for n, e in sorted(self.entries.items())]
        contract = self.contracts.get(getattr(request, "scene", ""))
        erased = f"erased {self.erased}, keys {sorted(self.keys)}"
        answers = f"got  {got}", f"want {expected}"
        return "\n".join([f"{shape} {request}", *answers, str(contract), *said, erased])

    def past(self) -> History:
        entries = [self.entries.get(n, OTHER) for n in range(self.ledger.size)]
        return History(entries, self.erased, self.keys)

    def _facts(self) -> Facts:
        return Facts(
            self.contracts,
            self.released,
            _offered,
            self.suspended,
            ROWS,
            self.limits,
            self.counted,
        )

    def _http(self, path: str, service: str, body: Json) -> tuple[int, bytes]:
        headers = {
            b"authorization": f"Bearer {service}".encode(),
            b"content-type": b"application/json",
            b"accept": b"application/x-ndjson" if path in STREAMED else b"application/json",
            b"host": b"gate",
        }
        case = Case(path, json.dumps(body).encode(), headers=headers)
        return self.runner.run(play(self.app, case))

    def read(self, request: model.Request) -> tuple[Answered, Answered]:
        request = replace(request, purpose=self._purpose(request.scene))
        expected = model.answer(self.past(), self._facts(), request)
        body = {"scene": request.scene, "customer": request.subject, "fields": [*request.fields]}
        body |= {"purpose": request.purpose} if request.purpose else {}
        status, answer = self._http("/v1/read", request.service, body)
        given = json.loads(answer)
        if status != 200:
            return (given["reason"],), (expected.reason,) if not expected.views else (expected,)
        self._count(request, "point", 1)
        values = {name: each["value"] for name, each in given["fields"].items()}
        views = {name: each["view"] for name, each in given["fields"].items()}
        self.found.values += sum(view == "personal" for view in views.values())
        got = given["reason"], views, given["determined_by"], given["decision"]
        return (*got, self._personal(values, views)), (
            expected.reason,
            expected.views,
            expected.determined_by,
            expected.allowed,
            self._true(request, expected.views),
        )

    def _true(self, request: model.Request, views: Mapping[str, str]) -> Json:
        """The values that an answer with these views must have of the customer."""
        coarser = {"location": "postcode_area"}
        columns = {name: name for name, view in views.items() if view == "personal"}
        columns |= {name: coarser[name] for name, view in views.items() if view == "generalised"}
        if not columns:
            return {}
        row, contract = ROWS[request.subject], self.contracts[request.scene]
        shown = model.shown_row(contract, row, columns.values())
        return {name: shown[column] for name, column in columns.items()}

    def _personal(self, values: Json, views: Mapping[str, str]) -> Json:
        return {n: values[n] for n, view in views.items() if view in {"personal", "generalised"}}

    def _purpose(self, scene: str) -> str | None:
        own = self.contracts[scene].purpose if scene in self.contracts else "X"
        return self.chance.choice((None, None, own, own, f"dpv:{own}", "DirectMarketing"))

    def evaluate(self, request: model.Request) -> tuple[Answered, Answered]:
        """One evaluation, of the caller or, seldom, of another service: then it is of nobody."""
        about = self._about(request)
        body = _authzen(request, about, {"type": "customer", "id": request.subject})
        status, answer = self._http("/access/v1/evaluation", request.service, body)
        assert status == 200, answer
        given = json.loads(answer)
        asks = replace(
            request, shape="evaluate", service=request.service if about == request.service else ""
        )
        if not request.fields and request.scene not in self.contracts:
            asks = replace(asks, fields=())
        expected = model.answer(self.past(), self._facts(), asks)
        if expected.views:
            self._count(asks, "point", 1)
        context = given["context"]
        return (
            context["reason"],
            context["views"],
            context["determined_by"],
            given["decision"],
        ), (expected.reason, expected.views, expected.determined_by, expected.allowed)

    def _about(self, request: model.Request) -> str:
        return self.chance.choice((request.service,) * 4 + (self.chance.choice(SERVICES),))

    def search(self, request: model.Request) -> tuple[Answered, Answered]:
        about = self._about(request)
        body = _authzen(request, about, {"type": "customer"})
        status, answer = self._http("/access/v1/search/resource", request.service, body)
        expected: set[str] | str | None = None
        if about == request.service:
            expected = model.search(self.past(), self._facts(), request)
        if status != 200 or isinstance(expected, str):
            reason = json.loads(answer).get("reason", status)
            return (reason,), (expected if isinstance(expected, str) else "found",)
        found = {each["id"] for each in json.loads(answer)["results"]}
        if expected is not None:
            self._count(request, "rows", max(1, len(found)))
        return ("found" if found else "nobody", found), (
            "found" if expected else "nobody",
            expected or set(),
        )

    def rows(self, request: model.Request) -> tuple[Answered, Answered] | None:
        request = self._many(request, "rows")
        status, lines = self._stream("/v1/rows", request)
        expected = model.named(self.past(), self._facts(), request)
        if status != 200 or isinstance(expected, str):
            return _refusals(status, lines, expected)
        self._count(request, "rows", len(lines))
        got = {each["customer"]: {f: each[f] for f in request.fields} for each in lines}
        views = {each[f"{f}.view"] for each in lines for f in request.fields}
        self.found.values += len(lines) * len(request.fields)
        return ("rows", got, views <= {"personal"}, len(lines)), (
            "rows",
            {who: self._row(request, who) for who in expected},
            True,
            len(expected),
        )

    def by_name(self, request: model.Request) -> tuple[Answered, Answered]:
        chance, people = self.chance, [*SUBJECTS, "nobody", "c1\0"]
        who = chance.sample(people, chance.randint(1, len(people)))
        request = replace(request, subject="", purpose=self._purpose(request.scene))
        body: Json = {"scene": request.scene, "fields": [*request.fields], "ids": who}
        body |= {"purpose": request.purpose} if request.purpose else {}
        status, answer = self._http("/v1/named", request.service, body)
        lines = [json.loads(each) for each in answer.decode().splitlines()]
        expected = model.by_name(self.past(), self._facts(), request, who)
        if status != 200 or isinstance(expected, str):
            return _refusals(status, lines, expected)
        self._count(request, "rows", len(who))
        got, want = [], []
        for line, subject, one in zip(lines, who, expected, strict=True):
            views = {name: line[f"{name}.view"] for name in request.fields}
            self.found.values += sum(view == "personal" for view in views.values())
            why = line["customer.reason"], views, line["customer.allowed"]
            got.append((line["customer"], *why, self._personal(line, views)))
            true = self._true(replace(request, subject=subject), one.views)
            want.append((subject, one.reason, one.views, one.allowed, true))
        return ("rows", got), ("rows", want)

    def table(self, request: model.Request) -> tuple[Answered, Answered] | None:
        request = self._many(request, "table")
        status, lines = self._stream("/v1/table", request)
        expected = model.table(self.past(), self._facts(), request)
        if status != 200 or isinstance(expected, str):
            return _refusals(status, lines, expected)
        personal = [each for each in lines if each[f"{request.fields[0]}.view"] == "personal"]
        others = [each for each in lines if each not in personal]
        self._count(request, "rows", len(personal))
        self.found.values += len(personal) * len(request.fields)
        shown = Counter(tuple(each[f] for f in request.fields) for each in personal)
        views = {tuple(each[f"{f}.view"] for f in request.fields) for each in others}
        want = {tuple(expected.views[f] for f in request.fields)} if expected.synthetic else set()
        drawn = expected.synthetic if not request.filter else len(others)
        return ("table", shown, views <= want, len(others)), (
            "table",
            expected.personal,
            True,
            drawn,
        )

    def _row(self, request: model.Request, who: str) -> Mapping[str, Any]:
        return model.shown_row(self.contracts[request.scene], ROWS[who], request.fields)

    def _many(self, request: model.Request, shape: str) -> model.Request:
        has = self.contracts[request.scene].fields if request.scene in self.contracts else {}
        usable = [each for each in FILTERS if each[0] in has]
        chosen = (self.chance.choice(usable),) if usable and self.chance.random() < 0.4 else ()
        purpose = self._purpose(request.scene)
        return replace(request, subject="", shape=shape, filter=chosen, purpose=purpose)

    def _stream(self, path: str, request: model.Request) -> tuple[int, list[Json]]:
        conditions = [
            {"field": name, "comparison": comparison, "value": value}
            for name, comparison, value in request.filter
        ]
        body: Json = {"scene": request.scene, "fields": [*request.fields], "filter": conditions}
        body |= {"purpose": request.purpose} if request.purpose else {}
        status, answer = self._http(path, request.service, body)
        return status, [json.loads(each) for each in answer.decode().splitlines()]

    def _count(self, request: model.Request, kind: str, amount: int) -> None:
        self.counted.append(Counted(request.service, request.scene, kind, self.at, amount))


MANY = ("rows", "table", "named")
STREAMED = frozenset({"/v1/named", "/v1/rows", "/v1/table"})
Ask = Callable[[Trial, model.Request], "tuple[Answered, Answered] | None"]
ASKS: dict[str, Ask] = {
    "read": Trial.read,
    "evaluate": Trial.evaluate,
    "search": Trial.search,
    "rows": Trial.rows,
    "named": Trial.by_name,
    "table": Trial.table,
}


def _refusals(status: int, lines: list[Json], expected: object) -> tuple[Answered, Answered]:
    got = lines[0]["reason"] if status != 200 else "rows"
    return (got,), (expected if isinstance(expected, str) else "rows",)


def _authzen(request: model.Request, about: str, resource: Json) -> Json:
    return {
        "subject": {"type": "service", "id": about},
        "action": {"name": "read"},
        "resource": resource,
        "context": {"scene": request.scene, "fields": [*request.fields]},
    }


def _offered(service: str, contract: Contract) -> list[str]:
    """The bank's policy: partners read where sharing is the purpose, the others wherever."""
    partner = contract.services.get(service, False)
    return [*contract.fields] if not partner or contract.id == SHARING else []


def _quotas(read: Company) -> dict[tuple[str, str], Quota]:
    return {
        (service, scene): Quota(**{name: int(limit) for name, limit in limits.items()})
        for service, each in read.services.items()
        for scene, limits in each.quotas.items()
    }


def _figure(chance: Random) -> int:
    return chance.choice([0, 1, 9199, 9200, 9201])


def _json(event: Event) -> Json:
    read: Json = json.loads(envelope.encode(event))
    return read


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    found = run(asked.requests, asked.seed)
    print(f"{found.requests:,} requests, {found.values:,} personal values")  # noqa: T201
    for what, number in sorted(found.answered.items()):
        print(f"  {number:>9,}  {what}")  # noqa: T201
    print(f"{len(found.mismatches)} differences from the model")  # noqa: T201
    print("\n\n".join(found.mismatches[:2]))  # noqa: T201
    return 1 if found.mismatches else 0


if __name__ == "__main__":
    sys.exit(main())
