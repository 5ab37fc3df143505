"""A company of 40 scenes and 300 fields, compared with the demonstration: first page, decision.

One scene has all 300 fields, so its consent bits take six words. Both companies have sixty
customers and are measured in turn, in one process without sockets; the customer has allowed every
other scene.
"""

import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import yaml
from starlette.testclient import TestClient
from typer.testing import CliRunner

from gate.contracts.scene import Scene
from gate.decision.decide import Reason
from gate.reads.request import ReadRequest
from ledger import clock
from ledger.service import Ledger
from portal.app import create_app
from portal.commands import app
from portal.operations.settings import Settings
from portal.operations.wiring import Product, open_product
from tests.portal.conftest import Clock, allow, copy, seed, sign_in

SCENES, FIELDS, OF_A_SCENE = 40, 300, 20
CUSTOMERS, ORIGIN = 60, "many.example/consent"
SUBJECT = "c00007"
ROUNDS, PAGES, DECISIONS = 15, 8, 4_000


@dataclass(frozen=True, slots=True)
class Measured:
    """One company that answers, and what of it is timed."""

    product: Product
    client: TestClient
    page_bytes: int


def main() -> None:
    with TemporaryDirectory() as folder:
        (Path(folder) / "seed").mkdir()
        bank = _opened(copy(seed(Path(folder) / "seed"), Path(folder) / "bank"))
        many = _opened(_many(Path(folder)))
        scenes = [*many.product.scenes.values()]
        wide = next(each for each in scenes if each.needs_consent and len(each.fields) == FIELDS)
        small = next(each for each in scenes if len(each.fields) == OF_A_SCENE)
        segmentation = bank.product.scenes["segmentation"]
        pages = _compared(lambda: _page(bank), lambda: _page(many))
        few = _compared(lambda: _decide(bank, segmentation), lambda: _decide(many, small))
        more = _compared(lambda: _decide(bank, segmentation), lambda: _decide(many, wide))
    fields = len(bank.product.source.items)
    print(f"\n{SCENES} scenes and {FIELDS} fields; demonstration: 12 scenes, {fields} fields")
    print(f"  {'':44}{'demonstration':>14}{'many':>12}{'ratio':>8}")
    _row("first page, server time", pages, 1e3, "ms")
    sizes = f"{bank.page_bytes:>14,}{many.page_bytes:>12,}"
    print(f"  {'first page, bytes':44}{sizes}{many.page_bytes / bank.page_bytes:>7.2f}x")
    _row(f"decision on 3 fields, scene of {OF_A_SCENE} fields", few, 1e6, "µs")
    _row(f"decision on 3 fields, scene of {FIELDS} fields", more, 1e6, "µs")


def _row(name: str, took: tuple[float, float], scale: float, unit: str) -> None:
    ours, theirs = took[0] * scale, took[1] * scale
    print(f"  {name:44}{ours:>11.2f} {unit}{theirs:>9.2f} {unit}{theirs / ours:>7.2f}x")


def _compared(first: Callable[[], float], second: Callable[[], float]) -> tuple[float, float]:
    """The medians of some rounds, taken in turn."""
    times = [(first(), second()) for _ in range(ROUNDS)]
    return median(a for a, _ in times), median(b for _, b in times)


def _opened(product: Product) -> Measured:
    for scene in islice(product.scenes.values(), 0, None, 2):
        if scene.needs_consent:
            allow(product, SUBJECT, scene.id)
    headers = {"Sec-Fetch-Site": "same-origin", "Accept": "text/html", "Accept-Language": "en"}
    client = TestClient(create_app(product, Clock(clock.now())), headers=headers)
    sign_in(client, SUBJECT)
    page = client.get("/customer")
    page.raise_for_status()
    return Measured(product, client, len(page.content))


def _page(company: Measured) -> float:
    start = time.perf_counter()
    for _ in range(PAGES):
        company.client.get("/customer")
    return (time.perf_counter() - start) / PAGES


def _decide(company: Measured, scene: Scene) -> float:
    """Seconds of one decision, with its reason, about sixty customers in turn."""
    fields, at = (*islice(scene.fields, 3),), clock.now()
    asked = [
        ReadRequest(scene.services[0].id, scene.id, f"c{number % CUSTOMERS:05d}", fields, at)
        for number in range(DECISIONS)
    ]
    start = time.perf_counter()
    decided = [company.product.gate.decide(each) for each in asked]
    took = time.perf_counter() - start
    if any(each.refused or each.reason is Reason.SUSPENDED for each in decided):
        raise AssertionError("a decision was refused")
    return took / DECISIONS


def _many(folder: Path) -> Product:
    company, home = folder / "company", folder / "many"
    make(company, folder / "customers.duckdb")
    home.mkdir()
    Ledger.open(home, origin=ORIGIN).close()
    product = open_product(Settings(data_dir=home, company=str(company), demo=True))
    product.ledger.create_keys([f"c{number:05d}" for number in range(CUSTOMERS)])
    return product


def make(company: Path, rows: Path) -> None:
    """A company's folder, as `sovereign init` proposes it, with more scenes of the same kind."""
    names = [f"item_{number:03d}" for number in range(FIELDS)]
    with duckdb.connect(str(rows)) as database:
        columns = ", ".join(f"i + {place} AS {name}" for place, name in enumerate(names))
        database.execute(
            f"CREATE TABLE customer AS SELECT printf('c%05d', i) AS id, {columns} "
            f"FROM range({CUSTOMERS}) t(i)"
        )
    words = ["init", str(company), "--from", str(rows), "--key", "id", "--origin", ORIGIN]
    done = CliRunner().invoke(app, [*words, "--table", "customer"])
    if done.exit_code:
        raise AssertionError(done.output)
    widest = company / "scenes" / "offers.odcs.yaml"
    offers: dict[str, Any] = yaml.safe_load(widest.read_text("utf-8"))
    (field,) = offers["schema"][0]["properties"]  # init offers no item that it does not know
    every = [field | {"name": name} for name in names]
    offers["schema"][0]["properties"] = every
    _write(widest, offers)
    more = SCENES - len([*(company / "scenes").iterdir()])
    register = company / "services.toml"
    named = ", ".join(f'"use-{number:02d}"' for number in range(more))
    listed = register.read_text("utf-8").replace('["offers"]', f'["offers", {named}]')
    register.write_text(listed, "utf-8")
    for number in range(more):
        scene: dict[str, Any] = deepcopy(offers)
        at = number * OF_A_SCENE % FIELDS
        scene["id"] = f"use-{number:02d}"
        scene["schema"][0]["properties"] = every[at : at + OF_A_SCENE]
        for each in scene["customProperties"]:
            if each["property"] == "order":
                each["value"] = 10 + number
        path = company / "scenes" / f"{scene['id']}.odcs.yaml"
        _write(path, scene)


def _write(path: Path, contract: dict[str, Any]) -> None:
    text = yaml.dump(contract, Dumper=_WrittenOut, sort_keys=False, allow_unicode=True)
    path.write_text(text, "utf-8")


class _WrittenOut(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - as the library calls it
        """Contracts have no aliases."""
        return True


if __name__ == "__main__":
    main()
