"""Opens cases for the gate's alerts, with a deadline and a notice to the responsible role.

Alerts of one kind in one scene join one case while its window is open; later ones open another. The
notice goes to the last of the scene's responsible roles, by default the data protection officer.
"""

from collections.abc import Mapping
from pathlib import Path

from sqlalchemy import bindparam, update
from sqlalchemy.engine import Connection

from gate.contracts.scene import Scene
from gate.decision.alert import GateAlert
from steward.cases import filing
from steward.cases.case import Act, add_act, require_case
from steward.cases.case_store import CaseStore
from steward.cases.changes import ChangeKind
from steward.change_flow import Channels
from steward.language import catalogue
from steward.language.catalogue import Catalogue
from steward.notify import notice, outbox
from steward.notify.notice import NoticeType
from steward.storage.cases import CASE

GATE = "gate"  # the actor of these cases

_GROW = (
    update(CASE)
    .where(CASE.c.id == bindparam("case"), CASE.c.count < bindparam("customers"))
    .values(count=bindparam("customers"))
)


class Alarms:
    """Files alerts as cases. Thread-safe; durable when `raised` returns."""

    def __init__(
        self,
        home: Path,
        scenes: Mapping[str, Scene],
        source: str,
        channels: Channels,
        languages: Mapping[str, Catalogue] | None = None,
    ) -> None:
        """`source`: the log's origin, which identifies the sender of a notice.

        `languages`: of notices; None: all that the product has.
        """
        self._store = CaseStore(home)
        self._scenes, self._source, self._channels = scenes, source, channels
        self._languages = languages or catalogue.load()

    def raised(self, alert: GateAlert) -> int:
        """File the alert and return the number of its case."""
        kind, scene = ChangeKind(alert.kind), self._scenes[alert.scene]
        with self._store.writing() as database:
            number = filing.gathering(database, scene.id, kind, alert.at)
            opens = number is None
            number = self._open(database, scene, kind, alert) if number is None else number
            database.execute(_GROW, {"case": number, "customers": alert.customers})
            act = "opened" if opens else "grew"
            note = f"service {alert.service}: {alert.detail}"
            add_act(database, number, Act(act, GATE, alert.at, note))
            if opens:
                self._tell(database, number, scene, alert)
        return number

    def close(self) -> None:
        self._store.close()

    def _open(self, database: Connection, scene: Scene, kind: ChangeKind, alert: GateAlert) -> int:
        role = scene.change.responsible[-1]
        return filing.open_case(database, scene, kind, scene.fallback, 0, role, alert.at)

    def _tell(self, database: Connection, number: int, scene: Scene, alert: GateAlert) -> None:
        case = require_case(database, number)
        turn = outbox.sequence(database, number)
        body = notice.event(
            NoticeType.OPENED, case, scene, self._source, alert.at, turn, self._languages
        )
        channels = self._channels(case.responsible)
        outbox.put(database, number, NoticeType.OPENED, body, channels, alert.at)
        filing.set_told(database, number)
