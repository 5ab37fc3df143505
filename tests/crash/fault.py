"""One life of a ledger in which a system call may fail: `python -m tests.crash.fault HOME`.

Prints a line for each thing acknowledged, and goes on after each error, as a server would.
"""

import json
import sys
from pathlib import Path

from ledger.service import Ledger
from tests.ledger.events import NOON, ORIGIN, WORDING
from tests.ledger.worlds import AGE


def tell(**what: object) -> None:
    sys.stdout.write(f"{json.dumps(what)}\n")
    sys.stdout.flush()


def live(home: Path) -> None:
    tell(begins=True)
    ledger = Ledger.open(home, origin=ORIGIN)
    for turn in range(4):
        try:
            subjects = ["c1", f"d{turn}"]
            drafts = [ledger.draft(each, AGE, at=NOON, wording=WORDING) for each in subjects]
            ledger.record(drafts)
            size, root = ledger.root()
            tell(size=size, root=root)
        except Exception as error:  # noqa: BLE001 - whatever it was, the next request comes
            tell(failed=f"{type(error).__name__}: {error}"[:200])
        try:
            ledger.export(home / "log" / "consent")
            tell(published=ledger.size)
        except Exception as error:  # noqa: BLE001 - the same
            tell(failed=f"{type(error).__name__}: {error}"[:200])
    ledger.close()
    tell(ends=True)


if __name__ == "__main__":
    live(Path(sys.argv[1]))
