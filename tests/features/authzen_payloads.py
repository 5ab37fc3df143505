"""Sends each published AuthZEN payload to a served product, as it was published.

    python -m tests.features.authzen_payloads       # a table: family, sent, passed

See tests/data/authzen/README.md for where they come from.
"""

import json
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from tests.bank import BANK
from tests.features.loopback import PLAIN
from tests.features.served import PATIENCE_S, ROOT, Site, done

DATA = ROOT / "tests" / "data" / "authzen"
POINT = "todo-app"
REGISTERED = f"""
[{POINT}]
title = {{ en = "Enforcement point", de = "Durchsetzungspunkt", zh-CN = "执行点" }}
partner = false
scenes = []
may_ask_for = ["identity", "user"]
"""
EVALUATION, EVALUATIONS = "/access/v1/evaluation", "/access/v1/evaluations"
Json = Mapping[str, Any]


def _decision(answer: Any) -> Any:
    return answer.get("decision")


def _results(answer: Any) -> Any:
    return {"results": answer.get("results")}


# By file: family, path, and what of the answer is compared with what is expected.
FAMILIES: dict[str, tuple[str, str, Callable[[Any], Any]]] = {
    "todo-1.0-00": ("Todo, API 1.0 draft 00", EVALUATION, _decision),
    "todo-1.1": ("Todo, API 1.1", EVALUATION, _decision),
    "todo-1.1-batch": ("Todo, API 1.1, batches", EVALUATIONS, lambda a: a.get("evaluations")),
    "gateway": ("API gateway", EVALUATION, _decision),
    "search-resource": ("Search of resources", "/access/v1/search/resource", _results),
    "search-subject": ("Search of subjects", "/access/v1/search/subject", _results),
    "search-action": ("Search of actions", "/access/v1/search/action", _results),
}
# Why what does not pass cannot: specs/gate.md, G179.
SUPERSEDED = {"todo-1.1-batch"}


def payloads(family: str) -> list[Json]:
    found: list[Json] = json.loads((DATA / f"{family}.json").read_text("utf-8"))
    return found


def company(folder: Path) -> Path:
    """A bank that also decides about todos, routes and records."""
    made = shutil.copytree(BANK, folder / "company")
    for each in (DATA / "policy").iterdir():
        shutil.copy(each, made / "policy")
    with (made / "services.toml").open("a", encoding="utf-8") as file:
        file.write(REGISTERED)
    done("check", made)
    return made


@contextmanager
def serving(folder: Path, rows: Path) -> Iterator[Site]:
    """The bank, served. `rows`: its customers."""
    home = folder / "data"
    home.mkdir()
    shutil.copy(rows, home)
    words = ("--company", str(company(folder)))
    with Site(home, folder / "log", words=words).serving() as site:
        yield site


@contextmanager
def asking(site: Site) -> Iterator[httpx.Client]:
    """The enforcement point's connection."""
    headers = {"Authorization": f"Bearer demo-{POINT}"}
    with httpx.Client(
        base_url=site.address, headers=headers, timeout=PATIENCE_S, verify=PLAIN
    ) as client:
        yield client


def passed(client: httpx.Client, family: str, sent: Json) -> bool:
    """Whether the answer is the published one, asked twice with the same body."""
    _, path, compared = FAMILIES[family]
    first, second = (client.post(path, json=sent["request"]) for _ in range(2))
    same = first.content == second.content
    return same and first.status_code == 200 and compared(first.json()) == sent["expected"]


def table(site: Site) -> list[tuple[str, int, int]]:
    """By family: how many were sent, and how many passed."""
    with asking(site) as client:
        return [
            (name, len(sent := payloads(family)), sum(passed(client, family, e) for e in sent))
            for family, (name, _, _) in FAMILIES.items()
        ]


def main() -> int:
    from tests.features import seeding

    with TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "seed").mkdir()
        seeding.seed(folder / "seed")
        with serving(folder, folder / "seed" / "customers.duckdb") as site:
            rows = table(site)
    print("| family | sent | passed |\n|---|---|---|")  # noqa: T201
    for name, sent, ok in rows:
        print(f"| {name} | {sent} | {ok} |")  # noqa: T201
    print(f"| all | {sum(r[1] for r in rows)} | {sum(r[2] for r in rows)} |")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
