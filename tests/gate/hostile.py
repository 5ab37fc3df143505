"""Hostile requests to the gate, by the hundred thousand: no crash, no hang, nothing given away.

    python -m tests.gate.hostile --cases 100000 --seed 1

Nobody in this world holds a grant any more, so whatever the bytes, a permit, a personal view or a
personal value in an answer is a gate that failed open. Case n of a seed is always the same case:
`--first n --cases 1` plays it alone. In process against the ASGI application; slow clients, who
need a socket, are in tests/gate/test_hostile.py.
"""

import argparse
import asyncio
import json
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

from gate.http.app import GateApp
from gate.http.request_body import MAX_BYTES
from ledger.events.envelope import Granted, Withdrawn
from tests.gate.world import NOON, World, world

BOUND_S = 60.0  # for one case; what takes longer hangs
STATUSES = {200, 400, 401, 403, 404, 405, 406, 413, 503}
TELLTALE = (b"personal", b"@mail.example", b"38.7", b"LX01")  # stand in no request and no refusal
VALUES = {31, 44, 67, "admin", "retired", "other", "yes", "no", "Ada", "Bo", "Cy"}

WHO = {"type": "service", "id": "analytics"}
WHAT = {"type": "customer", "id": "c2"}
ACT = {"name": "read"}
WHERE = {"scene": "segmentation", "fields": ["age", "job"]}
ASKED: dict[str, Any] = {"subject": WHO, "action": ACT, "resource": WHAT, "context": WHERE}
TEMPLATES: dict[str, dict[str, Any]] = {
    "/access/v1/evaluation": ASKED,
    "/access/v1/evaluations": ASKED
    | {
        "evaluations": [{}, {"resource": {"type": "customer", "id": "c3"}}],
        "options": {"evaluations_semantic": "permit_on_first_permit"},
    },
    "/access/v1/search/subject": ASKED | {"subject": {"type": "service"}},
    "/access/v1/search/resource": ASKED
    | {"resource": {"type": "customer"}, "page": {"token": "", "limit": 10}},
    "/access/v1/search/action": {"subject": WHO, "resource": WHAT, "context": WHERE},
    "/v1/read": {"scene": "segmentation", "customer": "c1", "fields": ["age"], "minimum_size": 0},
    "/v1/named": {
        "scene": "segmentation",
        "ids": ["c1", "x1"],
        "fields": ["age", "job"],
        "minimum_size": 0,
    },
    "/v1/rows": {
        "scene": "segmentation",
        "fields": ["age"],
        "filter": [{"field": "job", "comparison": "in", "value": ["admin", "retired"]}],
        "purpose": "ServiceUsageAnalytics",
    },
    "/v1/table": {
        "scene": "segmentation",
        "fields": ["age", "job"],
        "filter": [{"field": "age", "comparison": "ge", "value": 18}],
    },
}


class Tokens:
    """Two services; who is neither is nobody."""

    def service(self, headers: Mapping[bytes, bytes]) -> str | None:
        return {b"Bearer a": "analytics", b"Bearer c": "crm"}.get(
            headers.get(b"authorization", b"")
        )


@dataclass
class Case:
    """One request, as an ASGI server hands it over."""

    path: str
    body: bytes
    method: str = "POST"
    headers: dict[bytes, bytes] = field(
        default_factory=lambda: {
            b"authorization": b"Bearer a",
            b"content-type": b"application/json",
            b"host": b"gate",
        }
    )
    chunks: int = 1
    leaves: bool = False  # the client, before the body ends


# What a value, a text, a header and a transfer can be. Each takes the random source first.

_WILD: tuple[Callable[[Random], Any], ...] = (
    lambda _: None,
    lambda r: r.choice([True, False]),
    lambda r: r.choice([0, -1, 7, 1 << 31, 1 << 53, 1 << 63, 1 << 64, -(1 << 70), 10**400]),
    lambda r: r.choice([0.5, -0.0, 1e308, 5e-324]),
    lambda r: r.choice(
        ["", " ", "\0", "*", "%", "c1", "c2' OR 1=1 --", "../..", "名", "\U0001f600"]
    ),
    lambda r: "x" * r.choice([65, 1_000, 70_000, 500_000]),
    lambda r: "\u0001" * r.choice([64, 20_000]),
    lambda r: "9" * r.choice([3, 20, 5_000]),
    lambda _: [],
    lambda _: {},
    lambda r: ["age"] * r.choice([2, 65, 5_000, 100_000]),
    lambda r: [f"f{n}" for n in range(r.choice([3, 64, 20_000]))],
    lambda r: deepcopy(r.choice([WHO, WHAT, ACT, WHERE, [ASKED], {"id": "c1"}, {"$ref": "#"}])),
    lambda r: _nested(r.choice([2, 50, 500])),
)


def _nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = {"a": value} if depth % 2 else [value]
    return value


def _place(random: Random, value: Any) -> tuple[Any, Any]:
    """Some (container, key) inside `value`, which is not empty."""
    key = random.choice([*value]) if isinstance(value, dict) else random.randrange(len(value))
    deeper = isinstance(value[key], dict | list) and value[key] and random.random() < 0.6
    return _place(random, value[key]) if deeper else (value, key)


def _misshapen(random: Random, value: dict[str, Any]) -> None:
    """Change `value` in one place: another value, one less, or one more."""
    container, key = _place(random, value) if value else (value, "context")
    turn = random.random()
    if turn < 0.6:
        container[key] = random.choice(_WILD)(random)
    elif turn < 0.8:
        container.pop(key, None) if isinstance(container, dict) else container.pop(key)
    elif isinstance(container, dict):
        name = random.choice(["decision", "force", "properties", "__proto__", "id", "type", ""])
        container[name] = random.choice(_WILD)(random)


def _token(random: Random) -> bytes:
    """Something that a JSON parser may or may not take for a value."""
    deep = random.choice([900, 5_000, 100_000])
    return random.choice(
        [
            *(
                b"NaN",
                b"Infinity",
                b"-Infinity",
                b"1e999999",
                b"-1e400",
                b"01",
                b"+1",
                b".5",
                b"0x1",
            ),
            *(b'"\\ud800"', b'"\\udc00\\ud800"', b'"\\u12"', b'"\xff\xfe"', b'"\xed\xa0\x80"'),
            *(b"9" * 5_000, b"true", b"'c2'", b"/**/1", b"undefined", b'"\n"'),
            *(b"[" * deep + b"]" * deep, b'{"a":' * deep + b"1" + b"}" * deep, b"[" * deep),
        ]
    )


def _with_token(random: Random, body: bytes) -> bytes:
    """A value of `body` becomes a hostile token."""
    places = [found.end() for found in re.finditer(rb"[:\[,]", body[:2_000])]
    if not places:
        return body
    start = random.choice(places)
    return body[:start] + _token(random) + re.sub(rb"^[^,}\]]*", b"", body[start:])


def _duplicated(random: Random, body: bytes) -> bytes:
    """A key twice, the second time with something else."""
    key = random.choice(
        [b"subject", b"resource", b"context", b"scene", b"customer", b"evaluations"]
    )
    other = random.choice([b"null", b"{}", b'{"type":"customer","id":"c1"}', b'"c1"', b"[]", b"1"])
    pair = b'"' + key + b'":' + other
    return (
        b"{" + pair + b"," + body[1:] if random.random() < 0.5 else body[:-1] + b"," + pair + b"}"
    )


def _flipped(random: Random, body: bytes) -> bytes:
    changed = bytearray(body)
    for _ in range(random.randint(1, 4)):
        if changed:
            changed[random.randrange(len(changed))] = random.randrange(256)
    return bytes(changed)


def _crowd(random: Random, body: bytes) -> bytes:
    """A batch of up to a million elements."""
    each = random.choice([b"0", b"{}", b"null", b'{"resource":{}}', b'{"resource":{"id":"c3"}}'])
    count = random.choice([10, 1_000, 10_001, 100_000, 1_000_000] if random.random() < 0.2 else [3])
    return body[:-1] + b',"evaluations":[' + b",".join([each] * count) + b"]}"


_TEXT: tuple[Callable[[Random, bytes], bytes], ...] = (
    _with_token,
    _with_token,
    _duplicated,
    _flipped,
    _crowd,
    lambda r, body: body[: r.randint(0, len(body))],
    lambda r, body: body + r.choice([b"x", b"{}", b"\0", b" " * 1_000, b"\xff"]),
    lambda r, body: r.choice([b"\xef\xbb\xbf" + body, body.decode("latin-1").encode("utf-16")]),
    lambda r, _: r.randbytes(r.choice([0, 1, 100, 10_000])),
    lambda _, body: body + b" " * (MAX_BYTES + 1 - len(body)),
)


def _headers(random: Random, headers: dict[bytes, bytes]) -> None:
    wild = random.choice(
        [b"", b"\0", b"\xff" * 50, b"x" * 100_000, b"Bearer ", b"Bearer x", b"*/*;q=NaN", b",,,;;;"]
    )
    names = [
        b"authorization",
        b"content-type",
        b"accept",
        b"host",
        b"x-request-id",
        b"content-length",
    ]
    headers[random.choice(names)] = wild
    if random.random() < 0.1:
        headers |= {b"x-%d" % n: b"y" * 100 for n in range(1_000)}


def case(seed: int, number: int) -> Case:
    """The `number`th case of `seed`."""
    random = Random(f"{seed}/{number}")
    path = random.choice([*TEMPLATES])
    value = deepcopy(TEMPLATES[path])
    for _ in range(random.choice([0, 1, 1, 2])):
        _misshapen(random, value)
    body = json.dumps(value, ensure_ascii=random.random() < 0.5).encode("utf-8", "surrogatepass")
    if random.random() < 0.5:
        body = random.choice(_TEXT)(random, body)
    made = Case(path, body, chunks=random.choice([1, 1, 3, 50]), leaves=random.random() < 0.05)
    if random.random() < 0.2:
        _headers(random, made.headers)
    if random.random() < 0.02:
        made.method = random.choice(["GET", "PUT", "", "POST\0", "x" * 1_000])
    if random.random() < 0.02:
        made.path = random.choice(
            ["", "/", "/v1/read/", "//v1/read", "/\0", "/.well-known/authzen-configuration"]
        )
    return made


@dataclass
class Tally:
    """What a campaign came to. `worst` names the first few cases that went wrong."""

    cases: int = 0
    crashes: int = 0
    hangs: int = 0
    open: int = 0
    slowest_s: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    worst: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        return not (self.crashes or self.hangs or self.open)

    def __str__(self) -> str:
        answers = ", ".join(
            f"{count} x {status}" for status, count in sorted(self.statuses.items())
        )
        return (
            f"{self.cases} cases: {self.crashes} crashes, {self.hangs} hangs (slowest "
            f"{self.slowest_s:.2f} s of {BOUND_S:.0f} s), {self.open} fail-open; answers: {answers}"
        )


async def play(app: GateApp, made: Case) -> tuple[int, bytes]:
    """The status and body that a case is answered. Raises whatever the application lets escape."""
    step = max(1, -(-len(made.body) // made.chunks))
    parts = [made.body[at : at + step] for at in range(0, len(made.body), step)] or [b""]
    if made.leaves:
        parts = parts[: len(parts) // 2]
    messages = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    if messages and not made.leaves:
        messages[-1]["more_body"] = False
    pending = iter(messages)
    sent: list[Mapping[str, Any]] = []

    async def receive() -> Mapping[str, Any]:
        for message in pending:
            return message
        if not made.leaves:
            await asyncio.Event().wait()  # the client is there until it has its answer
        return {"type": "http.disconnect"}

    async def send(message: Mapping[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": made.method,
        "path": made.path,
        "scheme": "http",
        "headers": [*made.headers.items()],
    }
    await app(scope, receive, send)
    start, *pieces = sent
    body = b"".join(piece["body"] for piece in pieces)
    if start["status"] != 200 and json.loads(body)["status"] != start["status"]:
        raise AssertionError(f"a problem of another status: {body!r}")
    return start["status"], body


def gives_away(body: bytes) -> bool:
    """Whether an answer permits anything or carries anything personal."""
    if any(each in body for each in TELLTALE):
        return True
    try:
        answer = json.loads(body)
    except ValueError:
        return False  # a table: every row names its view, and TELLTALE has that
    return bool(isinstance(answer, dict) and (answer.get("results") or _permits(answer)))


def _permits(value: Any) -> bool:
    match value:
        case dict():
            told = value.get("value")
            known = not isinstance(told, dict | list) and told in VALUES
            return value.get("decision") is True or known or any(map(_permits, value.values()))
        case list():
            return any(map(_permits, value))
    return False


async def campaign(
    app: GateApp, seed: int, numbers: range, told: Callable[[int], None] = lambda _: None
) -> Tally:
    tally = Tally()
    for number in numbers:
        await _judge(app, case(seed, number), f"seed {seed}, case {number}", tally)
        told(number)
    return tally


async def _judge(app: GateApp, made: Case, name: str, tally: Tally) -> None:
    tally.cases += 1
    start, wrong = time.perf_counter(), ""
    try:
        async with asyncio.timeout(BOUND_S):
            status, body = await play(app, made)
        tally.statuses[status] += 1
        if status not in STATUSES:
            tally.crashes, wrong = tally.crashes + 1, f"status {status}"
        if gives_away(body):
            tally.open, wrong = tally.open + 1, f"gave away {body[:200]!r}"
    except TimeoutError:
        pass
    except Exception as error:  # noqa: BLE001 - whatever escapes is a crash
        tally.crashes, wrong = tally.crashes + 1, f"{type(error).__name__}: {str(error)[:200]}"
    took = time.perf_counter() - start
    tally.slowest_s = max(tally.slowest_s, took)
    if took >= BOUND_S:
        tally.hangs, wrong = tally.hangs + 1, f"took {took:.1f} s"
    if wrong and len(tally.worst) < 20:
        tally.worst.append(f"{name}: {made.path} {made.body[:80]!r}: {wrong}")


def emptied(home: Path) -> World:
    """A world in which everybody who granted has withdrawn."""
    bank = world(home)
    for customer in ("c1", "c2"):
        bank.says(customer, Granted("segmentation", ("age", "job"), None))
        bank.says(customer, Withdrawn("segmentation"))
    return bank


def app_of(bank: World) -> GateApp:
    return GateApp(bank.gate, Tokens(), clock=lambda: NOON)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0)
    asked = parser.parse_args()
    numbers = range(asked.first, asked.first + asked.cases)

    def told(number: int) -> None:
        if number % 5_000 == 0:
            print(f"case {number}", file=sys.stderr, flush=True)  # noqa: T201 - progress

    with TemporaryDirectory() as home:
        tally = asyncio.run(campaign(app_of(emptied(Path(home))), asked.seed, numbers, told))
    print(tally, *tally.worst, sep="\n")  # noqa: T201 - the report
    return 0 if tally.clean else 1


if __name__ == "__main__":
    sys.exit(main())
