"""Which ids were erased. Whoever comes back under one of them is asked before anything is read.

Where legitimate interest lets a customer be read who never objected, an erased id is not silent: an
objection of theirs may have been erased with everything else (specs/gate.md, G138).
"""

from gate.state.followed import ListsErasures
from ledger.vault import owners
from ledger.vault.owners import Erasures


class ErasedIds:
    """The marks of the erasure list, 16 bytes each: what is left of the ids of erased customers."""

    def __init__(self) -> None:
        self.upto = 0  # lines of the erasure list that are known
        self._key = b""
        self._marks: set[bytes] = set()

    @classmethod
    def of(cls, log: ListsErasures) -> "ErasedIds":
        """As the list is now."""
        made = cls()
        made.learn(log.erasures(0))
        return made

    def __contains__(self, subject: object) -> bool:
        if not self._marks or not isinstance(subject, str):
            return False
        return owners.mark(self._key, subject.encode(errors="surrogatepass")) in self._marks

    def learn(self, erasures: Erasures) -> None:
        """Add further lines of the list. Under another key all of them come from its beginning."""
        if erasures.key != self._key:
            self._key, self._marks = erasures.key, set()
        self._marks.update(erasures.marks)
        self.upto = erasures.upto
