"""A budget ledger in a file, for fits without a consent log: one public record (JSON) a line.

    {"format": "synthetic-reservation/v2", "scene": "segmentation", "period": "2026", …}
    {"format": "synthetic-release/v2", "scene": "segmentation", "reservation": "4b1f…", …}

Every append holds a lock file, so that concurrent fits never overspend.
"""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthetic.privacy import budget_ledger
from synthetic.privacy.budget import Account, PrivacyLoss

Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Records:
    """Appends public records to a file; each is fully persisted when the method returns.

    `limit`: the budget of each scene in each period. A line that a crash cut short was never
    acknowledged, and the next record replaces it.
    """

    path: Path
    limit: PrivacyLoss

    def bodies(self) -> list[Body]:
        """All records. Raises ValueError if a complete line is not JSON."""
        if not self.path.exists():
            return []
        whole, _, _ = self.path.read_text(encoding="utf-8").rpartition("\n")
        return [json.loads(line) for line in whole.splitlines()]

    def reserve(self, body: Body) -> Account:
        """See synthetic.privacy.budget_ledger.Reserve. Raises BudgetExceededError,
        UsedReservationError."""
        with self._locked():
            limits = {str(body["scene"]): self.limit}
            admission = budget_ledger.admit(self.bodies(), body, limits)
            if not admission.recorded:
                self._append(body)
            return admission.account

    def append(self, body: Body) -> None:
        with self._locked():
            self._append(body)

    def released_under(self, reservation: str) -> Body | None:
        """The release that a reservation paid for; None if there is none."""
        releases = (each for each in self.bodies() if each.get("reservation") == reservation)
        return next(releases, None)

    def _append(self, body: Body) -> None:
        line = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
        with self.path.open("r+b" if self.path.exists() else "w+b") as file:
            file.seek(file.read().rfind(b"\n") + 1)
            file.truncate()
            file.write(f"{line}\n".encode())
            file.flush()
            os.fsync(file.fileno())

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.with_name(f"{self.path.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
