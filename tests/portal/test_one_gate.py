"""The gate inside the portal and the gate in a process of its own give the same answers."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from gate.contracts.scene import Scene
from gate.reads.bulk.request import TableRequest
from gate.reads.bulk.table import read_rows, read_table
from gate.reads.point import Gate
from gate.reads.request import ReadRequest
from portal.operations import gate_process
from portal.operations.gate_process import open_gate
from portal.operations.wiring import Product
from tests.bank import contracts
from tests.portal.conftest import START
from tests.portal.test_standalone import until_it_waits

SCENES = contracts()[1]
CUSTOMERS = ("c00001", "c00007", "c00012", "c00060", "nobody")


@pytest.fixture(scope="module")
def gates(still: Product) -> Iterator[tuple[Gate, Gate]]:
    with ThreadPoolExecutor(1) as pool:
        opening = pool.submit(open_gate, still.settings, wait_s=60)
        until_it_waits(still.home)
        gate_process.announce(still.ledger, still.home)
        alone = opening.result()
    yield still.gate, alone.gate
    alone.reads.close()


def point(gate: Gate, scene: Scene, service: str, customer: str, fields: tuple[str, ...]) -> Any:
    answer = gate.read(ReadRequest(service, scene.id, customer, fields, START))
    return answer.decision.reason, dict(answer.values), dict(answer.views), answer.release


def many(gate: Gate, scene: Scene, service: str, shape: str) -> Any:
    read = read_rows if shape == "rows" else read_table
    answer = read(gate, TableRequest(service, scene.id, tuple(scene.fields), START))
    table = answer.table
    rows = [] if table is None else sorted(map(str, table.to_pylist()))
    drawn = answer.synthetic > 0  # each table draws rows of its own
    facts = answer.reason, answer.authorised, answer.synthetic, answer.mode, answer.error
    return facts, table and table.schema.names, None if drawn else rows


@pytest.mark.parametrize("scene", SCENES)
def test_both_gates_answer_points_alike(scene: str, gates: tuple[Gate, Gate]) -> None:
    portal, alone = gates
    contract = SCENES[scene]
    for service in [each.id for each in contract.services] + ["stranger"]:
        for customer in CUSTOMERS:
            for fields in [(name,) for name in contract.fields] + [tuple(contract.fields)]:
                asked = contract, service, customer, fields
                assert point(portal, *asked) == point(alone, *asked)


@pytest.mark.parametrize("shape", ["rows", "table"])
@pytest.mark.parametrize("scene", SCENES)
def test_both_gates_answer_for_many_alike(scene: str, shape: str, gates: tuple[Gate, Gate]) -> None:
    portal, alone = gates
    for service in [each.id for each in SCENES[scene].services]:
        asked = SCENES[scene], service, shape
        assert many(portal, *asked) == many(alone, *asked)
