"""The texts that customers saw when they decided, by digest: rows are only added.

    home/words.sqlite     SQLite; in PostgreSQL the schema words

An instruction names its words by SHA-256 alone (portal.consent.wording). Every text in every
version and language is stored before a page shows it, so that the words can be shown again after
the contract or the translation changed. No text is about a customer.
"""

from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from sqlalchemy import Column, LargeBinary, MetaData, Table, event, select
from sqlalchemy.engine import Connection

from ledger.storage import database
from ledger.storage.database import Schema, writing
from portal.storage.people import insert_new
from steward.storage import append_only

CHUNK = 500  # digests looked up at once
_METADATA = MetaData()
TEXT = Table(
    "text",
    _METADATA,
    Column("digest", LargeBinary, primary_key=True),  # SHA-256 of `content`
    Column("content", LargeBinary, nullable=False),  # canonical JSON
    sqlite_strict=True,
)
WORDS = Schema("words", "words.sqlite", _METADATA, "0001", "portal.storage.migrations.words")


@event.listens_for(TEXT, "after_create")
def _protect(_table: Table, connection: Connection, **_: Any) -> None:
    append_only.protect(
        connection, TEXT.name, "texts are only added", ("text_stays", "text_remains")
    )


def stored(home: Path, digests: Iterable[bytes]) -> Mapping[bytes, bytes]:
    """As `WordStore.find`; nothing, and nothing is created, where no text was ever stored."""
    return WordStore(home).find(digests) if database.of(home).exists(WORDS) else {}


class WordStore:
    """The texts of one data directory. Thread-safe."""

    def __init__(self, home: Path) -> None:
        """Raises SchemaVersionError, DatabaseError."""
        self._engine = database.of(home).engine(WORDS)

    def keep(self, texts: Iterable[bytes]) -> None:
        """Store texts that are not stored yet. Durable on return."""
        by_digest = {sha256(text).digest(): text for text in texts}
        known = self._known()
        with writing(self._engine) as connection:
            for digest in by_digest.keys() - known:
                row = {"digest": digest, "content": by_digest[digest]}
                insert_new(connection, TEXT, row)

    def find(self, digests: Iterable[bytes]) -> Mapping[bytes, bytes]:
        """The stored texts among `digests`, each checked against its digest."""
        wanted, found = [*dict.fromkeys(digests)], dict[bytes, bytes]()
        with self._engine.connect() as connection:
            for first in range(0, len(wanted), CHUNK):
                some = TEXT.c.digest.in_(wanted[first : first + CHUNK])
                for digest, content in connection.execute(select(TEXT).where(some)):
                    if sha256(content).digest() == digest:
                        found[digest] = content
        return found

    def _known(self) -> set[bytes]:
        with self._engine.connect() as connection:
            return {*connection.execute(select(TEXT.c.digest)).scalars()}
