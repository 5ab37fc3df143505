"""Opens cases for the gate's alerts, with a deadline and a notice to the responsible role.

Alerts of one kind in one scene join one case while its window is open; later ones open another. The
notice goes to the last of the scene's responsible roles, by default the data protection officer.
"""

from collections.abc import Mapping
from pathlib import Path
from sqlite3 import Connection

from gate.contracts.scene import Scene
from gate.decision.alert import GateAlert
from steward.cases.case import Act, Status, add_act, require_case
from steward.cases.case_store import CaseStore, stamp
from steward.cases.changes import ChangeKind
from steward.change_flow import Channels, gathering
from steward.notify import notice, outbox
from steward.notify.notice import NoticeType

GATE = "gate"  # the actor of these cases


class Alarms:
    """Files alerts as cases. Thread-safe; durable when `raised` returns."""

    def __init__(
        self, home: Path, scenes: Mapping[str, Scene], source: str, channels: Channels
    ) -> None:
        """`source`: the log's origin, which identifies the sender of a notice."""
        self._store = CaseStore(home)
        self._scenes, self._source, self._channels = scenes, source, channels

    def raised(self, alert: GateAlert) -> int:
        """File the alert and return the number of its case."""
        kind, scene = ChangeKind(alert.kind), self._scenes[alert.scene]
        with self._store.writing() as database:
            number = gathering(database, scene.id, kind, alert.at)
            opens = number is None
            number = self._open(database, scene, kind, alert) if number is None else number
            query = "UPDATE cases SET count = max(count, ?) WHERE id = ?"
            database.execute(query, [alert.customers, number])
            act = "opened" if opens else "grew"
            note = f"service {alert.service}: {alert.detail}"
            add_act(database, number, Act(act, GATE, alert.at, note))
            if opens:
                self._tell(database, number, scene, alert)
        return number

    def close(self) -> None:
        self._store.close()

    def _open(self, database: Connection, scene: Scene, kind: ChangeKind, alert: GateAlert) -> int:
        rules, at = scene.change, alert.at
        moments = [stamp(at), stamp(at + rules.window), stamp(at + rules.review)]
        values = [scene.id, kind, scene.fallback, *moments, Status.OPEN, rules.responsible[-1]]
        done = database.execute(
            "INSERT INTO cases (scene, kind, count, told, live, fields, fallback, opened,"
            " gathers_until, due, status, responsible) VALUES (?,?,0,0,0,'[]',?,?,?,?,?,?)",
            values,
        )
        return int(done.lastrowid or 0)

    def _tell(self, database: Connection, number: int, scene: Scene, alert: GateAlert) -> None:
        case = require_case(database, number)
        turn = outbox.sequence(database, number)
        body = notice.event(NoticeType.OPENED, case, scene, self._source, alert.at, turn)
        channels = self._channels(case.responsible)
        outbox.put(database, number, NoticeType.OPENED, body, channels, alert.at)
        database.execute("UPDATE cases SET told = count WHERE id = ?", [number])
