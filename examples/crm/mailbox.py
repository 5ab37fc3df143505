"""The durable queue of accepted interactions, and the worker that empties it.

An item is put before it is acknowledged, and removed from the queue after the transaction that did
its work. A process that is killed between the two leaves the item in the queue; the next one works
on it again, and the table `worked` keeps it from counting twice.
"""

import logging
import sqlite3
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from threading import Event

from persistqueue import SQLiteAckQueue
from persistqueue.exceptions import Empty
from persistqueue.serializers import json

from examples.crm import database

Work = Callable[[sqlite3.Connection, str, bytes], None]
POLL_S = 0.2
_LOG = logging.getLogger("crm")


class ReusedIdError(ValueError):
    """The id of a delivery came before, with another body. Nothing was accepted."""


class Mailbox:
    """Thread-safe, for one process: what an earlier one left unfinished is taken up again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._queue = SQLiteAckQueue(
            str(folder / "queue"), multithreading=True, serializer=json, auto_resume=True
        )

    def accept(self, delivery: str, body: bytes) -> None:
        """Durable when it returns; the same delivery again changes nothing. ReusedIdError."""
        digest = sha256(body).hexdigest()
        with database.writing(self._folder) as connection:  # of two at once the first one counts
            connection.execute("INSERT OR IGNORE INTO delivery VALUES (?, ?)", (delivery, digest))
            row = connection.execute(
                "SELECT digest, worked.id IS NOT NULL FROM delivery LEFT JOIN worked USING (id)"
                " WHERE delivery.id = ?",
                (delivery,),
            )
            known, is_worked = row.fetchone()
        if known != digest:
            raise ReusedIdError(f"webhook-id {delivery} came before with another body")
        # If we crash here, nothing was acknowledged and the sender asks again. An item may be in
        # the queue twice: `work` does it once.
        if not is_worked:
            self._queue.put({"id": delivery, "body": body.decode()})

    def work(self, do: Work) -> bool:
        """Work on one item, if there is one. A fault of the item is stored, and not tried again."""
        try:
            item = self._queue.get(block=False, raw=True)
        except Empty:
            return False
        delivery, body = item["data"]["id"], item["data"]["body"].encode()
        try:
            with database.writing(self._folder) as connection:
                done = connection.execute("SELECT 1 FROM worked WHERE id = ?", (delivery,))
                if done.fetchone() is None:
                    do(connection, delivery, body)
                    connection.execute("INSERT INTO worked VALUES (?, NULL)", (delivery,))
        except ValueError as error:
            _LOG.warning("delivery %s: %s", delivery, error)
            with database.writing(self._folder) as connection:
                connection.execute("INSERT INTO worked VALUES (?, ?)", (delivery, str(error)))
        except sqlite3.OperationalError as error:  # another writer took too long: try again
            _LOG.warning("delivery %s: %s", delivery, error)
            self._queue.nack(id=item["pqid"])
            return False
        # If we crash here, the item is taken up again, and `worked` has its id.
        self._queue.ack(id=item["pqid"])
        self._queue.clear_acked_data(keep_latest=0)  # its body is personal data
        return True

    def work_until(self, stop: Event, do: Work) -> None:
        """The worker: until `stop` is set."""
        while not stop.is_set():
            if not self.work(do):
                stop.wait(POLL_S)
