"""Decisions on one customer in process, compared with a dict, SQLite and other policy engines."""

import random
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from benchmarks.peers import Decider, Question, deciders
from benchmarks.table import Row, rate, show
from gate.contracts.scene import Scene
from gate.contracts.scene_file import load_scenes
from gate.contracts.source import load_source
from gate.decision.decide import decide, personal
from gate.policy import cedar
from gate.policy.cedar import PolicyFacts
from gate.policy.compiled import compile_plan
from gate.state import consent_bits
from gate.state.consent_index import ConsentIndex
from ledger.events.envelope import FIRST, EvidenceClass, Granted, Instruction, Wording, instruction
from ledger.reader import RecordedEvent
from portal.operations import company_folder
from tests.bank import SCENES_FOLDER, SOURCE_CONTRACT, bank

CUSTOMERS = 100_000
ASKED = 100_000
FEW = 1000
ENGINES_ASKED = 2000  # of the slower engines
SCENE, SERVICE = "segmentation", "analytics"
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Grants:
    """A ledger of which only the consent matters here: every other customer granted the scene."""

    size = CUSTOMERS // 2

    def __init__(self, fields: tuple[str, ...]) -> None:
        self.fields = fields

    def follow(self, _since: int) -> "list[RecordedEvent]":
        act = Granted(SCENE, self.fields, None)
        wording = Wording("en", bytes(32))
        return [
            RecordedEvent(i, self._said(f"c{2 * i:06d}", act, wording)) for i in range(self.size)
        ]

    @staticmethod
    def _said(subject: str, act: Granted, wording: Wording) -> Instruction:
        return instruction("b/c", subject, 0, FIRST, act, NOW, wording, EvidenceClass.SESSION)


def main() -> None:
    scenes = load_scenes(SCENES_FOLDER, load_source(SOURCE_CONTRACT))
    scene, fields = scenes[SCENE], ("age", "job", "balance")
    rules = company_folder.policy(bank())
    plan = compile_plan(
        SERVICE, scene, offered=cedar.offered(rules, scene, SERVICE), release="r", policy="p"
    )
    state = ConsentIndex(scenes)
    state.catch_up(Grants(tuple(scene.fields)))  # type: ignore[arg-type] # a list is an iterator's source
    asked = [f"c{random.randrange(CUSTOMERS):06d}" for _ in range(ASKED)]
    minute, wanted = consent_bits.minute(NOW + timedelta(days=1)), plan.mask(fields) or 0

    few = [f"c{random.randrange(FEW):06d}" for _ in range(ASKED)]

    def permit(asked: list[str] = asked) -> int:
        look = state.bits
        return sum(1 for each in asked if wanted & ~personal(plan, look(SCENE, each), minute) == 0)

    def explained() -> int:
        look, index = state.bits, state.index
        return sum(
            1
            for each in asked
            if decide(
                plan, fields, look(SCENE, each), minute, index=index(SCENE, each), size=state.size
            ).allowed
        )

    allowed = permit()
    if explained() != allowed:
        raise AssertionError("the fast answer and the explained one differ")
    rows = [
        Row("point decision (permit or not)", rate(permit, ASKED)),
        Row("... of 1,000 customers", rate(lambda: permit(few), ASKED), "in the processor's cache"),
        Row("point decision with views and reason", rate(explained, ASKED)),
        *_peers(asked, allowed),
        _cedar(rules, scene, asked, state, minute),
        *_engines(asked, state, minute, wanted),
    ]
    show("Point decision, in process, one core", "decisions", rows)


def _peers(asked: list[str], allowed: int) -> list[Row]:
    table = {f"c{2 * i:06d}": NOW + timedelta(days=365) for i in range(CUSTOMERS // 2)}
    now = NOW + timedelta(days=1)

    def dictionary() -> int:
        return sum(1 for each in asked if (until := table.get(each)) is not None and now < until)

    database = sqlite3.connect(":memory:")
    database.execute("CREATE TABLE g (id TEXT PRIMARY KEY, until INTEGER) WITHOUT ROWID")
    stamps = ((key, int(until.timestamp())) for key, until in table.items())
    database.executemany("INSERT INTO g VALUES (?, ?)", stamps)
    query = "SELECT 1 FROM g WHERE id = ? AND until > ?"
    stamp = int(now.timestamp())

    def sqlite() -> int:
        run = database.execute
        return sum(1 for each in asked if run(query, (each, stamp)).fetchone())

    if not dictionary() == sqlite() == allowed:
        raise AssertionError("a peer decides otherwise")
    return [
        Row("dict of end dates", rate(dictionary, ASKED), "no fields, no reasons"),
        Row("SQLite in memory", rate(sqlite, ASKED, rounds=3)),
    ]


def _cedar(
    rules: cedar.CedarPolicy, scene: Scene, asked: list[str], state: ConsentIndex, minute: int
) -> Row:
    some = [state.bits(SCENE, each) for each in asked[:64]]
    facts = [
        PolicyFacts(
            "age",
            granted=bool(w & 1),
            minute=minute,
            until=w >> consent_bits.EXPIRY_SHIFT,
            frozen=False,
        )
        for w in some
    ]
    plan = compile_plan(SERVICE, scene, offered=("age",), release=None)
    ours = [bool(personal(plan, w, minute) & 1) for w in some]
    if cedar.permits(rules, scene, SERVICE, facts) != ours:
        raise AssertionError("Cedar decides otherwise")
    each = rate(lambda: cedar.permits(rules, scene, SERVICE, facts), len(facts), rounds=3)
    return Row("Cedar (cedarpy, batches of 64)", each, "the same law, evaluated in full")


def _engines(asked: list[str], state: ConsentIndex, minute: int, wanted: int) -> list[Row]:
    """Other engines over the same questions, with the same answers; those that are installed."""
    questions: list[Question] = []
    for each in asked[:ENGINES_ASKED]:
        held = state.bits(SCENE, each)
        questions.append((held & wanted == wanted, minute, held >> consent_bits.EXPIRY_SHIFT))
    ours = [granted and minute < until for granted, minute, until in questions]
    rows = []
    for name, (what, make) in deciders().items():
        try:
            decide_ = make()
        except ImportError as error:
            print(f"  skipped: {name}: {error}; install it with `make peers`")
            continue
        if [decide_(each) for each in questions] != ours:
            raise AssertionError(f"{name} decides otherwise")
        answer = _all(decide_, questions)
        rows.append(Row(name, rate(answer, len(questions), rounds=3), what))
    return rows


def _all(decider: Decider, questions: list[Question]) -> Callable[[], int]:
    return lambda: sum(decider(each) for each in questions)
