"""Every kind of file in a data directory: who checks it, what to do about damage, its backup.

This is the one list. `sovereign fsck` checks by it, `sovereign backup` copies by it, and a test
damages every file of a served directory and fails for one that is not listed here.
"""

from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase

RESTORE = "restore it from the newest backup (`sovereign restore`)"
REBUILT = "nothing is lost: remove it, and the product writes it again"
EXPORT = "move the folder log/ away and run `sovereign export`, then find out who changed it"


class Part(StrEnum):
    """The part of a backup that a file belongs to."""

    LEDGER = "ledger"
    KEYS = "keys"
    NONE = "none"  # written again, short-lived, or the company's own to keep


class Checker(StrEnum):
    """Who checks a file's content."""

    LEDGER = "ledger"  # ledger.fsck: it takes the log, the keys and the file together
    FILE = "file"  # portal.data_directory.file_checks, by the kind's pattern
    DATABASE = "database"  # SQLite's own checks, and what file_checks adds
    NONE = "none"


@dataclass(frozen=True, slots=True)
class FileKind:
    """Files whose path in the data directory matches `pattern`, in which * also matches a slash.

    `limits`: which damage cannot be found, and why.
    """

    pattern: str
    checker: Checker
    part: Part
    remedy: str = RESTORE
    limits: str = ""
    tables: frozenset[str] = frozenset()  # that the database must have

    @property
    def is_database(self) -> bool:
        return self.pattern.endswith((".sqlite", ".db"))


_RAW = "any 32 bytes are such a key, so other bytes of the same length are not noticed"
_UNNAMED = "nothing in it names the ledger it belongs to, so another ledger's is not noticed"
_MADE = "it is made on first use, so its absence is not noticed"
_LEDGER_TABLES = frozenset(
    f"{prefix}{name}" for prefix in ("", "state_") for name in ("head", "bundle", "tile")
) | {"sealed", "idempotency", "state_bucket"}

KINDS = (
    FileKind("*.tmp", Checker.NONE, Part.NONE, limits="left by a write that was cut off; unused"),
    FileKind(
        "*-wal", Checker.NONE, Part.NONE, limits="newest commits; SQLite reads it with its database"
    ),
    FileKind("*-shm", Checker.NONE, Part.NONE, limits="an index of -wal that SQLite rebuilds"),
    FileKind("*-journal", Checker.NONE, Part.NONE, limits="SQLite reads it with its database"),
    FileKind("ledger.sqlite", Checker.LEDGER, Part.LEDGER, tables=_LEDGER_TABLES),
    FileKind("keys/customers.db", Checker.LEDGER, Part.KEYS, tables=frozenset({"customer"})),
    FileKind("keys/kek", Checker.LEDGER, Part.KEYS),
    FileKind(
        "keys/kek.next", Checker.NONE, Part.KEYS, limits="a rotation was cut off; see keys/kek"
    ),
    FileKind("keys/*.next.key", Checker.NONE, Part.KEYS, limits="a rotation that the start ends"),
    FileKind("keys/consent.key", Checker.LEDGER, Part.KEYS),
    FileKind("keys/state.key", Checker.LEDGER, Part.KEYS),
    FileKind("keys/*.retired.policy", Checker.LEDGER, Part.LEDGER),
    FileKind("keys/*.vkey", Checker.LEDGER, Part.LEDGER),
    FileKind("keys/surrogate.key", Checker.FILE, Part.KEYS, limits=_RAW),
    FileKind("keys/receipt-link.key", Checker.FILE, Part.KEYS, limits=f"{_RAW}; {_MADE}"),
    FileKind("keys/archive.key", Checker.FILE, Part.KEYS, limits=f"{_RAW}; {_MADE}"),
    FileKind("keys/webhook-*.whsec", Checker.FILE, Part.KEYS, limits=f"{_UNNAMED}; {_MADE}"),
    FileKind("keys/demo-services.json", Checker.FILE, Part.KEYS, limits=f"{_UNNAMED}; {_MADE}"),
    FileKind("erased", Checker.LEDGER, Part.LEDGER, "restore the newest copy of the list"),
    FileKind("consent.policy", Checker.LEDGER, Part.LEDGER, REBUILT),
    FileKind("state.policy", Checker.LEDGER, Part.LEDGER, REBUILT),
    FileKind("witnesses.policy", Checker.LEDGER, Part.LEDGER, limits=f"{_UNNAMED}"),
    FileKind("steward.toml", Checker.FILE, Part.LEDGER, limits=_UNNAMED),
    FileKind(
        "log/*", Checker.LEDGER, Part.NONE, EXPORT, "a missing checkpoint: the next export adds it"
    ),
    FileKind("rotations/*.tlog-proof", Checker.LEDGER, Part.LEDGER),
    FileKind("receipts/*", Checker.LEDGER, Part.LEDGER, limits="receipts are made on demand"),
    FileKind("reads/*/log.sqlite", Checker.LEDGER, Part.LEDGER),
    FileKind("reads/*/cohorts/*", Checker.FILE, Part.LEDGER),
    FileKind("reads/*/opening", Checker.FILE, Part.NONE, "start the gate again", _MADE),
    FileKind("contracts/*.odcs.yaml", Checker.FILE, Part.LEDGER),
    FileKind("policies/*", Checker.FILE, Part.LEDGER),
    FileKind(
        "register.sqlite",
        Checker.DATABASE,
        Part.LEDGER,
        tables=frozenset({"entry"}),
        limits=_UNNAMED,
    ),
    FileKind(
        "steward.sqlite",
        Checker.DATABASE,
        Part.LEDGER,
        limits=_UNNAMED,
        tables=frozenset({"cursor", "cases", "change", "concerned", "act", "outbox"}),
    ),
    FileKind("passkeys.sqlite", Checker.DATABASE, Part.LEDGER, limits=f"{_UNNAMED}; {_MADE}"),
    FileKind("health.sqlite", Checker.DATABASE, Part.LEDGER, limits=f"{_UNNAMED}; {_MADE}"),
    FileKind(
        "customers.duckdb",
        Checker.FILE,
        Part.LEDGER,
        limits="the company's own rows; they may also be elsewhere (setting `source`)",
    ),
    FileKind(
        "customers.duckdb.wal", Checker.NONE, Part.NONE, limits="DuckDB reads it with its file"
    ),
    FileKind("state/consent.npz", Checker.FILE, Part.NONE, REBUILT, _MADE),
    FileKind("state/jobs.json", Checker.FILE, Part.NONE, REBUILT, f"{_UNNAMED}; {_MADE}"),
    FileKind("state/epoch", Checker.FILE, Part.NONE, limits="a smaller number: the start sets it"),
    FileKind("state/control.json", Checker.NONE, Part.NONE, limits="while a product is served"),
    FileKind(
        "state/writer.lock", Checker.NONE, Part.NONE, limits="names the writer; locks nothing"
    ),
    FileKind("fits/attempts.json", Checker.FILE, Part.NONE, REBUILT, f"{_UNNAMED}; {_MADE}"),
    FileKind("fits/*.lock", Checker.NONE, Part.NONE, limits="it has no content"),
    FileKind("fits/*.new", Checker.NONE, Part.NONE, limits="left by a write that was cut off"),
    FileKind(
        "fits/*.json",
        Checker.FILE,
        Part.LEDGER,
        "remove it: the fit begins again, and its budget stays spent",
        f"{_UNNAMED}; {_MADE}",
    ),
    FileKind("manifests/*.json", Checker.FILE, Part.LEDGER),
    FileKind(
        "archives/ready/*", Checker.FILE, Part.NONE, "remove it: the customer asks again", _MADE
    ),
    FileKind("archives/imported/*", Checker.FILE, Part.LEDGER, limits="its absence"),
    FileKind("timestamps/*", Checker.NONE, Part.LEDGER, limits="checked with the authority's key"),
    FileKind("mail/*", Checker.NONE, Part.NONE, limits="notices for a mailer, which takes them"),
    FileKind("letters/*", Checker.NONE, Part.NONE, limits="letters for a mailer, which takes them"),
)


def kind_of(file: str) -> FileKind | None:
    """The kind of a file, given its path in the data directory; None if the product has no such."""
    return next((each for each in KINDS if fnmatchcase(file, each.pattern)), None)
