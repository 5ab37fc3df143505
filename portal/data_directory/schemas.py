"""The schemas of a data directory: which there are, and which of them a backup contains."""

from pathlib import Path

from gate.storage import read_log
from gate.storage.api_keys import API_KEYS
from gate.storage.change_tables import CHANGES
from gate.storage.quotas import QUOTAS
from gate.storage.tables import READS
from ledger.storage import database
from ledger.storage.database import Database, Schema
from ledger.storage.sqlite import LEDGER
from ledger.storage.vault_store import VAULT
from portal.storage.people import PEOPLE
from portal.storage.sessions import SESSIONS
from portal.storage.warehouse import WAREHOUSE
from portal.storage.words import WORDS
from steward.storage.cases import CASES
from steward.storage.health import HEALTH
from steward.storage.register import REGISTER

OTHERS = (
    CASES,
    REGISTER,
    HEALTH,
    PEOPLE,
    SESSIONS,
    QUOTAS,
    API_KEYS,
    CHANGES,
    WORDS,
    WAREHOUSE,
)  # besides the logs and the vault
SERVED = (CASES, REGISTER)  # a product that was served has them


def begin_served(home: Path) -> None:
    """Create what a product that was served has, so that `fsck` tells what was removed later.

    Raises SchemaVersionError, DatabaseError.
    """
    opened = database.of(home)
    for schema in SERVED:
        opened.engine(schema)


def read_logs(home: Path) -> list[Schema]:
    """Those of the read logs, sorted by the name of the instance. Raises DatabaseError."""
    return [READS.named(instance) for instance in read_log.instances(home)]


def every(home: Path) -> list[Schema]:
    """All that the data directory has, or may have. Raises DatabaseError."""
    return [LEDGER, VAULT, *OTHERS, *read_logs(home)]


def begun(opened: Database, schema: Schema) -> bool:
    """Whether a schema is there, be it a file that cannot be read. Raises DatabaseError."""
    if opened.address(schema) is None:
        return (opened.home / schema.file).exists()
    return opened.exists(schema)
