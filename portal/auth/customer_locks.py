"""Has the requests of one customer that must not overlap wait for each other.

One process writes for the portal, so locks in its memory are enough. Asking to leave ends every
grant; a press that was checked before and recorded after it would allow something again.
"""

from threading import Lock

LOCKS = 256  # customers share them, which makes some wait and harms nobody


class CustomerLocks:
    def __init__(self) -> None:
        self._locks = [Lock() for _ in range(LOCKS)]

    def of(self, subject: str) -> Lock:
        return self._locks[hash(subject) % LOCKS]
