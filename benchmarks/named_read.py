"""Reading 10,000 named customers: one request by name against 10,000 point reads, served.

    TMPDIR=/dev/shm python -m benchmarks named_read

A bank whose source has 20,000 customers is served over a socket; of every three, one granted, one
withdrew, one said nothing. A service reads 10,000 of them by name, and the same by `/v1/read` one
after the other on one connection; both must answer the same. In turns, in one run; the ratio of the
medians. Also the time of all of it in one `/v1/rows`, which gives more people than were asked for.
"""

import json
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

from benchmarks.change_feed import FIELDS, SCENE, served, with_customers
from ledger.events.envelope import Granted, Withdrawn
from tests.gate.world import NOON, WORDING, World

PEOPLE, ASKED = 20_000, 10_000
ROUNDS = 3
HEADERS = {
    "Authorization": "Bearer any",
    "Content-Type": "application/json",
    "Accept": "application/x-ndjson",
}


def main() -> None:
    with TemporaryDirectory() as folder:
        home, names = Path(folder), [f"p{number}" for number in range(PEOPLE)]
        bank = with_customers(home, names)
        _instruct(bank, names)
        wanted = names[::2]
        with served(bank, home) as port:
            connection = HTTPConnection("127.0.0.1", port)
            ways: dict[str, Callable[[], list[Any]]] = {
                "by name": lambda: _named(connection, wanted),
                "one by one": lambda: [_point(connection, each) for each in wanted],
                "all rows": lambda: _rows(connection),
            }
            times: dict[str, list[float]] = {name: [] for name in ways}
            found: dict[str, list[Any]] = {}
            for _ in range(ROUNDS):
                for name, way in ways.items():
                    began = perf_counter()
                    found[name] = way()
                    times[name].append(perf_counter() - began)
    if found["by name"] != found["one by one"]:
        raise AssertionError("a read by name answers otherwise than single reads")
    named, alone, rows = (median(times[name]) for name in ways)
    print(f"\n{ASKED:,} named customers of {PEOPLE:,}, served, median of {ROUNDS}")
    print(f"  by name, one request: {named:.2f} s")
    print(f"  one by one, {ASKED:,} requests: {alone:.2f} s (ratio {alone / named:.0f})")
    print(f"  everybody's rows, {len(found['all rows']):,} of them: {rows:.2f} s")


def _instruct(bank: World, names: list[str]) -> None:
    granting = [name for number, name in enumerate(names) if number % 3]
    for acts in ((granting, Granted(SCENE, FIELDS, None)), (granting[::2], Withdrawn(SCENE))):
        people, act = acts
        for at in range(0, len(people), 500):
            bank.ledger.record(
                [
                    bank.ledger.draft(each, act, at=NOON, wording=WORDING)
                    for each in people[at : at + 500]
                ]
            )
    bank.gate.catch_up()


def _asked(connection: HTTPConnection, path: str, body: dict[str, Any]) -> bytes:
    connection.request("POST", path, json.dumps(body | {"scene": SCENE, "fields": FIELDS}), HEADERS)
    answer = connection.getresponse()
    text = answer.read()
    if answer.status != 200:
        raise AssertionError(text)
    return text


def _named(connection: HTTPConnection, wanted: list[str]) -> list[Any]:
    rows = _asked(connection, "/v1/named", {"ids": wanted}).splitlines()
    return [
        (row["customer.reason"], [(row[name], row[f"{name}.view"]) for name in FIELDS])
        for row in map(json.loads, rows)
    ]


def _point(connection: HTTPConnection, who: str) -> Any:
    answer = json.loads(_asked(connection, "/v1/read", {"customer": who}))
    fields = answer["fields"]
    return answer["reason"], [(fields[name]["value"], fields[name]["view"]) for name in FIELDS]


def _rows(connection: HTTPConnection) -> list[Any]:
    return _asked(connection, "/v1/rows", {}).splitlines()
