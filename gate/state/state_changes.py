"""Which rows of a scene's consent bits changed, for caches that follow them."""

from collections.abc import Sequence

_MAX_CHANGES = 65_536  # per scene, remembered row by row


class StateChanges:
    """The most recently changed rows of a scene in order, and the number of all changes."""

    def __init__(self) -> None:
        self._before = 0  # number of changes no longer remembered
        self._rows: list[int] = []

    @property
    def count(self) -> int:
        return self._before + len(self._rows)

    def since(self, count: int) -> Sequence[int] | None:
        """The rows changed after the first `count` changes; None: any row may have changed."""
        return self._rows[count - self._before :] if count >= self._before else None

    def one(self, row: int) -> None:
        if len(self._rows) == _MAX_CHANGES:
            self._before += len(self._rows)
            self._rows = []
        self._rows.append(row)

    def every(self) -> None:
        self._before += len(self._rows) + 1
        self._rows = []
