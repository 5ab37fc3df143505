"""Whatever leaves about a customer stands on their page, whoever asked and how (G32, G120 to G125).

What is expected is taken from the answers that services received, never from the read log.
"""

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.features.numbers import CUSTOMERS
from tests.features.reads_page import Shown, read, read_so_far, reads
from tests.features.served import Person, Site, done

SEGMENT = ("recommender", "recommendation", ("age", "job"))
SCORES = ("sales-desk", "lead-scoring", ("name", "phone", "age"))
CARE = ("customer-care", "contract-service", ("name", "email"))
ASKED = (SEGMENT, SCORES, CARE)
SILENT = "c00290"  # never gave an instruction
ERASED, ERASED_NEXT = "c00001", "c00002"  # their numbers are below everybody's
Ask = tuple[str, str, tuple[str, ...]]


class Watched:
    """A served bank, and what its answers gave about each customer."""

    def __init__(self, home: Path, people: list[str]) -> None:
        self.site = Site(home, home.parent / "server.log")
        self.people = people
        self.given: dict[str, Counter[Shown]] = {each: Counter() for each in people}
        self._running = ExitStack()

    def start(self) -> None:
        self._running.enter_context(self.site.serving())

    def stop(self) -> None:
        self._running.close()

    def customer(self, subject: str) -> Person:
        return self.site.customer(subject)

    def erase(self, subject: str) -> None:
        done("erase", subject, "--data-dir", self.site.home)
        self.given.pop(subject, None)
        self.people = [each for each in self.people if each != subject]

    def rows(self, ask: Ask, *conditions: tuple[str, str, Any]) -> set[str]:
        """The customers whom an answer names; each is given the fields and those of the filter."""
        named = {row["customer"] for row in self._lines("/v1/rows", ask, conditions)}
        self._gave("rows", ask, conditions, named)
        return named

    def table(self, ask: Ask, *conditions: tuple[str, str, Any]) -> int:
        """How many rows of a table are personal: of the same customers as rows of the moment."""
        first = ask[2][0]
        lines = self._lines("/v1/table", ask, conditions)
        personal = [each for each in lines if each[f"{first}.view"] == "personal"]
        named = self.rows(ask, *conditions)
        assert len(personal) == len(named)
        self._gave("table", ask, conditions, named)
        return len(personal)

    def point(self, ask: Ask, subject: str) -> None:
        service, scene, fields = ask
        answer = self.site.read(service, scene, subject, *fields)["fields"]
        given = tuple(name for name in fields if answer[name]["view"] == "personal")
        self._count(subject, read("read", service, scene, given))

    def evaluate(self, ask: Ask, *subjects: str) -> None:
        """One evaluation, or several at once."""
        service, scene, fields = ask
        common = {
            "subject": {"type": "service", "id": service},
            "action": {"name": "read"},
            "context": {"scene": scene, "fields": [*fields]},
        }
        resources = [{"resource": {"type": "customer", "id": each}} for each in subjects]
        if len(resources) == 1:
            answer = self.site.ask(service, "/access/v1/evaluation", common | resources[0])
            assert "decision" in answer.json()
        else:
            body = common | {"evaluations": resources}
            answers = self.site.ask(service, "/access/v1/evaluations", body).json()
            assert len(answers["evaluations"]) == len(subjects)
        for subject in subjects:
            self._count(subject, read("evaluate", service, scene))

    def search(self, ask: Ask) -> set[str]:
        service, scene, fields = ask
        body = {
            "subject": {"type": "service", "id": service},
            "action": {"name": "read"},
            "resource": {"type": "customer"},
            "context": {"scene": scene, "fields": [*fields]},
            "page": {"limit": 20},
        }
        answer = self.site.ask(service, "/access/v1/search/resource", body)
        named = {each["id"] for each in answer.json()["results"]}
        for each in named:
            self._count(each, read("search", service, scene))
        return named

    def differences(self) -> dict[str, Any]:
        """Customers whose page does not show exactly what was given about them."""
        shown = {each: reads(self.customer(each)) for each in self.people}
        return {
            each: (shown[each] - self.given[each], self.given[each] - shown[each])
            for each in self.people
            if shown[each] != self.given[each]
        }

    def _lines(self, path: str, ask: Ask, conditions: tuple[Any, ...]) -> list[dict[str, Any]]:
        service, scene, fields = ask
        tests = [{"field": f, "comparison": c, "value": v} for f, c, v in conditions]
        body = {"scene": scene, "fields": [*fields], "filter": tests}
        answer = self.site.ask(service, path, body, accept="application/x-ndjson")
        assert answer.status_code == 200, answer.text
        return [json.loads(each) for each in answer.text.splitlines()]

    def _gave(self, kind: str, ask: Ask, conditions: tuple[Any, ...], named: set[str]) -> None:
        service, scene, fields = ask
        looked_at = tuple(dict.fromkeys((*fields, *(each[0] for each in conditions))))
        for each in named:
            self._count(each, read(kind, service, scene, looked_at))

    def _count(self, subject: str, shown: Shown) -> None:
        if subject in self.given:
            self.given[subject][shown] += 1


def watched(unserved: Path, folder: Path, people: list[str]) -> Iterator[Watched]:
    made = Watched(shutil.copytree(unserved, folder / "data"), people)
    made.start()
    for each in people:
        made.given[each] = reads(made.customer(each))
    yield made
    made.stop()


@pytest.fixture(scope="module")
def bulk(unserved: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    people = ["c00003", "c00010", "c00044", "c00100", "c00199", SILENT, ERASED]
    yield from watched(unserved, tmp_path_factory.mktemp("bulk"), people)


def test_every_way_to_read_is_on_the_page_of_each_customer_concerned(bulk: Watched) -> None:
    named = bulk.rows(SEGMENT)
    assert 0 < len(named) < CUSTOMERS
    assert {*bulk.people} & named
    assert {*bulk.people} - named, "somebody must not be concerned"
    assert bulk.rows(SCORES, ("age", "ge", 60)) != bulk.rows(SCORES)
    assert bulk.table(SEGMENT) == len(named)
    bulk.search(SEGMENT)
    for each in (bulk.people[0], SILENT):
        bulk.point(SCORES, each)
        bulk.evaluate(SEGMENT, each)
    bulk.evaluate(SCORES, *bulk.people)
    assert bulk.differences() == {}


def test_whoever_never_gave_an_instruction_sees_what_the_contract_gave(bulk: Watched) -> None:
    """On the first day that is everybody."""
    assert SILENT in bulk.rows(CARE)
    bulk.rows(CARE, ("balance", "ge", 500))
    bulk.point(CARE, SILENT)
    assert bulk.differences() == {}


def test_the_data_map_counts_reads_of_many_customers(bulk: Watched) -> None:
    before = {each: read_so_far(bulk.customer(each), "job", SEGMENT[1]) for each in bulk.people}
    named = bulk.rows(SEGMENT)
    for each in bulk.people:
        after = read_so_far(bulk.customer(each), "job", SEGMENT[1])
        counted = int(before[each].replace("never", "0"))
        assert after == str(counted + 1) if each in named else after == before[each], each


def test_an_erasure_of_somebody_else_moves_no_read(bulk: Watched) -> None:
    assert ERASED in bulk.rows(SEGMENT) | bulk.rows(CARE)
    bulk.erase(ERASED)
    assert bulk.differences() == {}
    bulk.rows(SEGMENT)
    assert bulk.differences() == {}


def test_a_restart_moves_no_read(bulk: Watched) -> None:
    bulk.stop()
    bulk.start()
    bulk.table(SEGMENT)
    assert bulk.differences() == {}


def test_nothing_names_an_erased_customer(bulk: Watched) -> None:
    """Not the key store, nor a set: their number is gone with their key."""
    bulk.rows(CARE)
    bulk.erase(ERASED_NEXT)
    keys = (bulk.site.home / "keys" / "customers.db").read_bytes()
    assert ERASED_NEXT.encode() not in keys
    assert reads(bulk.customer(ERASED_NEXT)) == Counter()
