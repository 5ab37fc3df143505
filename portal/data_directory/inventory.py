"""Every kind of file in a data directory: who checks it, what to do about damage, its backup.

This is the one list. `sovereign fsck` checks by it, `sovereign backup` copies by it, and
tests/portal/test_damage.py damages every file of a directory and fails for one that is not listed.
"""

from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase

RESTORE = "restore it from the newest backup (`sovereign restore`)"
EXPORTED = "nothing is lost: remove it, and run `sovereign export-consent --format view`"
REBUILT = "nothing is lost: remove it, and the product writes it again"
EXPORT = "compare it with a mirror, move log/ away, and run `sovereign export`"


class Part(StrEnum):
    """The part of a backup that a file belongs to."""

    LEDGER = "ledger"  # names no customer, and opens nothing without the keys
    KEYS = "keys"  # private keys, and what names customers
    NONE = "none"  # written again, short-lived, or the company's own to keep


class Checker(StrEnum):
    """Who checks a file's content."""

    LEDGER = "ledger"  # ledger.fsck: it takes the log, the keys and the file together
    FILE = "file"  # portal.data_directory.file_checks, by the kind's pattern
    DATABASE = "database"  # SQLite's own checks, and what portal.data_directory.inspection adds
    NONE = "none"


class FileDamage(StrEnum):
    DELETED = "deleted"
    TRUNCATED = "truncated"
    CHANGED = "changed"  # other bytes, the same length
    EXCHANGED = "exchanged"  # the file of another data directory


@dataclass(frozen=True, slots=True)
class Limit:
    """Damage to a file that no check finds, and why."""

    why: str
    unnoticed: frozenset[FileDamage]


@dataclass(frozen=True, slots=True)
class FileKind:
    """Files whose path in the data directory matches `pattern`, in which * also matches a slash."""

    pattern: str
    checker: Checker
    part: Part
    remedy: str = RESTORE
    limits: tuple[Limit, ...] = ()
    tables: frozenset[str] = frozenset()  # that the database must have

    @property
    def is_database(self) -> bool:
        return self.pattern.endswith((".sqlite", ".db"))

    @property
    def unnoticed(self) -> frozenset[FileDamage]:
        return frozenset().union(*(each.unnoticed for each in self.limits))


def _limit(why: str, *unnoticed: FileDamage) -> Limit:
    return Limit(why, frozenset(unnoticed))


_RAW = _limit("any 32 bytes are such a key", FileDamage.CHANGED, FileDamage.EXCHANGED)
_UNNAMED = _limit("nothing in it names its ledger", FileDamage.EXCHANGED)
_MADE = _limit("it is made when it is first needed", FileDamage.DELETED)
_STALE = _limit("of another state of the log, so the start ignores it", FileDamage.EXCHANGED)
_LEDGER_TABLES = frozenset(
    f"{prefix}{name}" for prefix in ("", "state_") for name in ("head", "bundle", "tile")
) | {"sealed", "idempotency", "state_bucket"}
_STEWARD_TABLES = frozenset({"cursor", "cases", "change", "concerned", "act", "outbox"})


def _unchecked(pattern: str, why: str, part: Part = Part.NONE) -> FileKind:
    return FileKind(pattern, Checker.NONE, part, limits=(_limit(why, *FileDamage),))


def _ledger(
    pattern: str, *limits: Limit, remedy: str = RESTORE, part: Part = Part.LEDGER
) -> FileKind:
    return FileKind(pattern, Checker.LEDGER, part, remedy, limits)


def _file(
    pattern: str, *limits: Limit, remedy: str = RESTORE, part: Part = Part.LEDGER
) -> FileKind:
    return FileKind(pattern, Checker.FILE, part, remedy, limits)


def _database(
    pattern: str,
    *limits: Limit,
    tables: frozenset[str] = frozenset(),
    part: Part = Part.LEDGER,
) -> FileKind:
    return FileKind(pattern, Checker.DATABASE, part, RESTORE, limits, tables)


KINDS = (  # the first that matches
    _unchecked("*.tmp", "left by a write that was cut off; nothing reads it"),
    _unchecked("*-wal", "the newest commits: SQLite reads it with its database, the epoch tells"),
    _unchecked("*-shm", "an index of the -wal file, which SQLite makes again"),
    _unchecked("*-journal", "of an unfinished transaction: SQLite reads it with its database"),
    FileKind("ledger.sqlite", Checker.LEDGER, Part.LEDGER, tables=_LEDGER_TABLES),
    FileKind("keys/customers.db", Checker.LEDGER, Part.KEYS, tables=frozenset({"customer"})),
    _ledger("keys/kek", part=Part.KEYS),
    _unchecked("keys/kek.next", "left by a rotation that was cut off; see keys/kek", Part.KEYS),
    _unchecked("keys/*.next.key", "of a rotation that the next start ends", Part.KEYS),
    _file(
        "company.json",
        _UNNAMED,
        _limit("the setting company says it, too", FileDamage.DELETED),
        remedy="remove it, and start with --company once",
    ),
    _unchecked("keys/databases.json", "where PostgreSQL is; a restore is told where to"),
    _ledger("keys/consent.key", part=Part.KEYS),
    _ledger("keys/state.key", part=Part.KEYS),
    _ledger("keys/map.key", part=Part.KEYS),
    _ledger("keys/*.retired.policy"),
    _ledger("keys/*.vkey"),
    _file("keys/surrogate.key", _RAW, part=Part.KEYS),
    _file("keys/receipt-link.key", _RAW, _MADE, part=Part.KEYS),
    _file("keys/archive.key", _RAW, _MADE, part=Part.KEYS),
    _file("keys/webhook-*.whsec", _UNNAMED, _MADE, part=Part.KEYS),
    _file("keys/demo-services.json", _UNNAMED, _MADE, part=Part.KEYS),
    _ledger("erased", _UNNAMED, remedy="restore the newest copy of the list"),
    _file("tombstones", _UNNAMED, remedy="restore the newest copy of the file"),
    _file("keys/tombstone.key", _RAW, part=Part.KEYS),
    _ledger("consent.policy", remedy=REBUILT),
    _ledger("state.policy", remedy=REBUILT),
    _ledger("witnesses.policy", _UNNAMED, _limit("a ledger may have none", FileDamage.DELETED)),
    _unchecked("witnesses/*", "of witnesses, not of the ledger: a demonstration's own", Part.KEYS),
    _file("steward.toml", _UNNAMED, _limit("a company may have none", FileDamage.DELETED)),
    _unchecked("public/*", "copies of policies and public keys, written with the logs"),
    _unchecked("log/*/witnessed/*", "verifiers check it, by the witnesses' keys", Part.LEDGER),
    _unchecked("log/*/timestamps/*", "the authority's own key checks it", Part.LEDGER),
    _ledger(
        "log/*/checkpoint",
        _limit("the next export writes it", FileDamage.DELETED),
        remedy=EXPORT,
        part=Part.NONE,
    ),
    _ledger(
        "log/*.p/*",
        _limit("an earlier partial tile, which a later one replaces", FileDamage.DELETED),
        remedy=EXPORT,
        part=Part.NONE,
    ),
    _ledger("log/*", remedy=EXPORT, part=Part.NONE),
    _ledger("rotations/*.tlog-proof"),
    _ledger("receipts/*", _limit("receipts are made on demand", FileDamage.DELETED)),
    _ledger("reads/*/log.sqlite"),
    _file("reads/*/cohorts/*"),
    _unchecked("reads/*/lock", "no content: the system locks it", Part.LEDGER),
    _file("reads/*/opening", _UNNAMED, _MADE, remedy="start the gate again", part=Part.NONE),
    _file("contracts/*.odcs.yaml"),
    _file(
        "policies/decisions/active",
        _UNNAMED,
        _MADE,
        remedy="remove it, and start the product again, and its gates",
    ),
    _file("policies/decisions/*.json"),
    _file("policies/*"),
    _database("register.sqlite", _UNNAMED, _MADE, tables=frozenset({"entry"})),
    _database("steward.sqlite", _UNNAMED, tables=_STEWARD_TABLES),
    _database("api_keys.sqlite", _UNNAMED, _MADE),  # hashes: it opens nothing
    _database("passkeys.sqlite", _UNNAMED, _MADE, part=Part.KEYS),
    FileKind(
        "sessions.sqlite",
        Checker.DATABASE,
        Part.NONE,
        "remove it: everybody signs in again",
        (_UNNAMED, _MADE),
    ),
    FileKind("quotas.sqlite", Checker.DATABASE, Part.NONE, REBUILT, (_UNNAMED, _MADE)),
    FileKind("changes.sqlite", Checker.DATABASE, Part.NONE, REBUILT, (_UNNAMED, _MADE)),
    FileKind("warehouse.sqlite", Checker.DATABASE, Part.NONE, EXPORTED, (_UNNAMED, _MADE)),
    _database("health.sqlite", _UNNAMED, _MADE),
    _database("words.sqlite", _UNNAMED, _MADE),
    _file(
        "customers.duckdb",
        _limit(
            "the company's own rows, or elsewhere (setting source); DuckDB has free blocks",
            *FileDamage,
        ),
        part=Part.KEYS,
    ),
    _unchecked("customers.duckdb.wal", "DuckDB reads it with its file"),
    _file("state/consent.npz", _MADE, _STALE, remedy=REBUILT, part=Part.NONE),
    _file("state/jobs.json", _UNNAMED, _MADE, remedy=REBUILT, part=Part.NONE),
    _file("state/sets.json", _UNNAMED, _MADE, remedy=REBUILT, part=Part.NONE),
    _file("state/checked.json", _UNNAMED, _MADE, remedy=REBUILT, part=Part.NONE),
    _file("state/clock.json", _UNNAMED, _MADE, remedy=REBUILT, part=Part.NONE),
    _file(
        "state/epoch",
        _limit(
            "a smaller number: the next start sets it", FileDamage.EXCHANGED, FileDamage.DELETED
        ),
        remedy="if the log itself has no finding, remove it; else restore ledger.sqlite",
        part=Part.NONE,
    ),
    _unchecked("state/control.json", "exists while the directory is served"),
    _unchecked("state/writer.lock", "names the writer and locks nothing by its content"),
    _file("fits/attempts.json", _UNNAMED, _MADE, remedy=REBUILT, part=Part.NONE),
    _unchecked("fits/*.lock", "it has no content"),
    _unchecked("fits/*.new", "left by a write that was cut off"),
    _file("fits/*.json", _UNNAMED, _MADE, remedy="remove it: the fit begins again"),
    _file("manifests/*.json"),
    _file("archives/ready/*", _MADE, remedy="remove it: the customer asks again", part=Part.NONE),
    _file(
        "archives/imported/*",
        _limit("only the customer's own key opens it", *FileDamage),
    ),
    _unchecked("mail/*", "notices for a mailer, which takes them"),
    _unchecked("letters/*", "letters for a mailer, which takes them"),
)


def kind_of(file: str) -> FileKind | None:
    """The kind of a file, given its path in the data directory; None if the product has no such."""
    return next((each for each in KINDS if fnmatchcase(file, each.pattern)), None)
