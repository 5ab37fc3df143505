"""Builds the product from its settings: one ledger, one source, one gate.

home/ledger.sqlite       the consent log and the sealed events
home/keys/               private keys (owner only) and *.vkey verifier keys
home/customers.duckdb    the personal rows, read only through the gate (or `source` in the settings)
home/reads/<instance>/   one read log per run of a gate
home/log/                the public tile directories
home/receipts/           receipts stored for customers
home/contracts/          every contract that was ever published, byte for byte
home/policies/<digest>/  every policy that was ever active, byte for byte
home/register.sqlite     reviews, explanations, reminders and searches, sealed per customer
home/health.sqlite       the history of checks of the contracts
"""

import logging
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache, partial
from heapq import merge
from itertools import islice
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from gate import factory
from gate.changes.feed import ChangeFeed
from gate.contracts.company import Company
from gate.contracts.scene import Scene
from gate.contracts.source import SourceContract
from gate.decision.alert import Alarm, GateAlert, log
from gate.decision.quota import Quotas
from gate.policy import cedar, decisions
from gate.policy.cedar import CedarPolicy
from gate.policy.decisions import DecisionPolicy
from gate.readlog import largest_number, new_log, retention
from gate.readlog.acts import KeptReads, ReadLogActs
from gate.readlog.anchors import Anchors
from gate.readlog.by_customer import listed
from gate.readlog.earlier_sets import EarlierReads, EarlierSets
from gate.readlog.new_log import NewReadLog
from gate.readlog.retention import MissingReads
from gate.readlog.rotation import RotationLimits
from gate.readlog.writer import Journal, JournalTagger
from gate.reads.point import Gate, GateOptions, LedgerView
from gate.reads.sources import data_keys, description
from gate.reads.sources.breaker import SourceBreaker
from gate.reads.sources.duckdb import DuckDBSource
from gate.reads.sources.interface import RowSource, SourceUnavailableError
from gate.reads.sources.postgres import PostgresSource
from gate.reads.sources.sqlite import SQLiteSource, is_sqlite
from gate.state import snapshot
from gate.state.consent_index import ConsentIndex
from gate.state.snapshot import StateCopy
from gate.storage.quotas import QuotaStore
from gate.storage.read_log import ReadLogDatabases
from ledger import clock
from ledger.events.envelope import (
    DecisionPolicyPublished,
    PolicyPublished,
    ReadLogOpened,
    SyntheticReleased,
)
from ledger.reader import RecordedEvent
from ledger.service import Ledger
from ledger.storage import database
from ledger.tlog import atomic_file
from ledger.tlog.writer import Log
from portal.configuration.budget_plan import BudgetPlan, BudgetPlanError
from portal.configuration.sources import SettingError
from portal.operations import company_folder, databases, mail, open_ledger
from portal.operations.publishing import Publisher
from portal.operations.settings import Settings
from steward.agreements.stability import Histories, WithStability
from steward.alert_cases import Alarms
from steward.contracts import publication, publication_plan, source_probe
from steward.contracts.archive import ContractArchive
from steward.contracts.publication_plan import ChangedSetting, PlannedLog, PublicationPlan
from steward.contracts.source_probe import SourceTables
from steward.language import catalogue
from steward.language.catalogue import Catalogue
from steward.notify import recipients
from steward.oversight.register import Register
from synthetic.fitting.release import Release

POSTGRES = ("postgresql://", "postgres://")  # how the setting `source` begins then
SECRET = Path("keys") / "surrogate.key"
SECRET_SIZE = 32  # bytes
DEFAULT_QUOTA = "default"
SNAPSHOT = Path("state") / "consent.npz"
CONTRACTS = "contracts"
_LOG = logging.getLogger("sovereign")

Accept = Callable[[PublicationPlan], None]  # raises to refuse what a start would publish


class SecretError(Exception):
    """A secret key file has the wrong size. Nothing is derived from it."""


@dataclass(frozen=True, slots=True)
class Product:
    settings: Settings
    ledger: Ledger
    gate: Gate
    company: Company
    tables: SourceTables  # of the personal source, for checks that read no row
    register: Callable[[], Register]  # of reviews, explanations, reminders, searches; opened once
    read_logs: ReadLogDatabases  # of every gate
    read_log_acts: ReadLogActs
    changes: ChangeFeed
    _earlier: EarlierSets = field(default_factory=EarlierSets)

    @property
    def home(self) -> Path:
        return self.settings.data_dir

    @property
    def reads(self) -> Log:
        """The read log that this process writes now."""
        return self.gate.journal.log

    @property
    def source(self) -> SourceContract:
        return self.company.source

    @property
    def scenes(self) -> Mapping[str, Scene]:
        return self.company.scenes

    def reads_of(self, subject: str, skip: int = 0) -> Iterator[tuple[int, dict[str, Any]]]:
        """Every read of one customer through every gate, newest first: of many customers, too.

        The first `skip` entries are skipped without being opened.
        """
        self.gate.journal.deliveries.flush()
        logs = [*self.read_logs.all()]
        if len(logs) > 1:  # most logs of ended gates have no entry of this customer
            logs = [log for log in logs if any(True for _ in listed(log, self.ledger, subject))]
        if len(logs) == 1:
            entries = listed(logs[0], self.ledger, subject, skip)
        else:
            several = (listed(each, self.ledger, subject) for each in logs)
            entries = islice(merge(*several, key=lambda each: each.at, reverse=True), skip, None)
        for each in entries:
            if (entry := each.entry()) is not None:
                yield each.place, entry

    def unattributed_reads(self) -> EarlierReads | None:
        """The reads of many customers of which nobody can say any more whom they were about."""
        return self._earlier.of(self.read_logs.all())

    def missing_reads(self) -> MissingReads | None:
        """The recorded reads that nobody can show any more, although they had to be kept."""
        lost = self._earlier.lost(self.read_logs.all())
        return retention.missing(self.read_log_acts, self.read_logs, lost)

    def kept_reads(self) -> KeptReads:
        """For how long reads are kept, and up to which time they were removed."""
        return self.read_log_acts.kept()

    def keep_state(self) -> StateCopy | None:
        """Write a snapshot of the consent state, for a faster start next time.

        Returns it; None if there is nothing to keep, or somebody was erased meanwhile.
        """
        with self.gate.lock:
            taken = snapshot.take(*self.gate.current(0))
        if taken is None:
            return None
        snapshot.write(taken, self.home / SNAPSHOT)
        if self.ledger.erasures(taken.erasures).marks:
            (self.home / SNAPSHOT).unlink(missing_ok=True)  # it names somebody who was erased
            return None
        return taken

    def publish(self) -> None:
        """Anchor the read logs, and write the public tile directories, at once."""
        Anchors(self.home, self.ledger).anchor(clock.now())
        Publisher(self.home, self.ledger, lambda: self.reads).publish()


def open_product(settings: Settings, accept: Accept | None = None) -> Product:
    """Open everything under `settings.data_dir`, and announce in the log what is new of it.

    `accept` is given what the start would publish, if anything, and raises to refuse it. Raises
    SettingError, ContractError, CedarPolicyError, SourceUnavailableError and SecretError before
    anything is created there; UndeclaredChangeError, MissingContractError and what its parts raise
    before anything is announced.
    """
    home = settings.data_dir
    settings, company = company_folder.configured(settings)
    source, scenes = company.source, company.scenes
    require_usable(settings, scenes)
    policy = company_folder.policy(company)
    tables = sound_source(settings, source)
    databases.addresses(settings)
    if (home / SECRET).exists():
        secret(home / SECRET)
    ledger = open_ledger.begin(home, settings.origin, databases.settled(settings))
    if publication.unpublished(ledger, company, ContractArchive(home / CONTRACTS)) and accept:
        accept(planned(ledger, company, policy, home))
    company_folder.remember(home, company.folder, company_folder.noticed(settings, company))
    make_keys(ledger, tables, home)
    new = new_log.begin(home, ledger.origin)
    journal = Journal(new.log, ledger, new.reads)
    state = snapshot.load(home / SNAPSHOT, scenes, ledger)
    gate = build_gate(settings, ledger, company, policy, journal, rows=tables, state=state)
    register = cache(lambda: Register(home, ledger))
    logs = ReadLogDatabases(home)
    acts = ReadLogActs(ledger)
    feed = ChangeFeed(gate, ledger, home, secret(home / SECRET), clock.now())
    product = Product(settings, ledger, gate, company, tables, register, logs, acts, feed)
    ledger.announce([_opening(new)])  # nothing is read before it
    # If we crash here, or below, the next start publishes what is missing.
    publish_scenes(ledger, company, home)
    publish_policy(ledger, policy, home)
    publish_decisions(ledger, gate.options.decisions, home)
    decisions.activate(gate.options.decisions, home)
    return product


def make_keys(ledger: Ledger, source: RowSource, home: Path) -> None:
    """Make a data key for everybody whom the source knows; the job `data-keys` repeats it.

    If the source is down, reads of whoever has no key get nothing until the job has made one.
    """
    ledger.reserve_numbers(largest_number.of(home))
    try:
        data_keys.create(ledger, source)
    except SourceUnavailableError as error:
        _LOG.warning("customers who are new in the source have no data key yet: %s", error)


class GateLedger(LedgerView, JournalTagger, Histories, Protocol):
    """The consent log as a gate needs it: its writer, or a follower in another process."""

    def announced(self) -> Iterable[RecordedEvent]: ...


def build_gate(
    settings: Settings,
    ledger: GateLedger,
    company: Company,
    policy: CedarPolicy,
    journal: Journal,
    *,
    rows: RowSource,
    state: ConsentIndex | None = None,
) -> Gate:
    """Build this product's gate, inside the portal or in a process of its own.

    Raises ContractError and CedarPolicyError for the company's own decision policy.
    """
    scenes, home = company.scenes, settings.data_dir
    own = company_folder.decisions(company)
    alerts = alarm(settings, settings.origin, scenes, catalogue.load(company))
    options = GateOptions(
        known_by(company.source),
        quotas(settings, scenes, alerts),
        alerts,
        settings.shadow_every,
        asks_server=any(database.remembered(home)),
        decisions=own,
        active_decisions=partial(decisions.active, home),
        may_ask_for={
            each.id: frozenset(each.may_ask_for)
            for each in company.services.values()
            if each.may_ask_for
        },
        default_scenes={
            each.id: each.default_scene for each in company.services.values() if each.default_scene
        },
    )
    return factory.build(
        ledger,
        WithStability(SourceBreaker(rows), ledger, scenes),
        scenes,
        journal,
        policy,
        secret(home / SECRET),
        state=state,
        releases=releases(ledger.announced(), scenes),
        options=options,
    )


def known_by(source: SourceContract) -> tuple[str, ...]:
    """The items that can identify a customer: texts without a public domain."""
    return tuple(
        each.name
        for each in source.items.values()
        if each.type == "string" and not (each.domain or each.free_text or each.provided)
    )


def alarm(
    settings: Settings,
    origin: str,
    scenes: Mapping[str, Scene],
    languages: Mapping[str, Catalogue] | None = None,
) -> Alarm:
    """A listener that logs the gate's alerts and opens a case for each."""
    home = settings.data_dir
    alarms = Alarms(home, scenes, origin, lambda role: recipients.channels(home, role), languages)

    def raised(alert: GateAlert) -> None:
        log(alert)
        try:
            alarms.raised(alert)
        except Exception:  # noqa: BLE001 - whatever it was, the read that raised the alert goes on
            _LOG.exception("the alert was logged but no case was opened; check %s", home)

    return raised


def quotas(settings: Settings, scenes: Mapping[str, Scene], alarm: Alarm) -> Quotas:
    """The quotas of the settings. Raises SettingError for a service or scene no contract has."""
    named = {name: quota for name, quota in settings.quota.items() if name != DEFAULT_QUOTA}
    _require_known_quotas(named, scenes)
    limits = {(name.split("/")[0], name.split("/")[1]): quota for name, quota in named.items()}
    limited = any(each.is_limited for each in settings.quota.values())
    store = QuotaStore(settings.data_dir) if limited else None
    return Quotas(limits, settings.quota.get(DEFAULT_QUOTA), alarm, store)


def _require_known_quotas(names: Iterable[str], scenes: Mapping[str, Scene]) -> None:
    known = {f"{each.id}/{scene.id}" for scene in scenes.values() for each in scene.services}
    if unknown := sorted({*names} - known):
        raise SettingError(
            f"setting quota: found {', '.join(unknown)}, want {DEFAULT_QUOTA!r} or a service/scene "
            f"of a contract, such as {min(known)}"
        )


def require_usable(settings: Settings, scenes: Mapping[str, Scene]) -> None:
    """Check what can be checked before anything is created: quotas, mail, the source's file, the
    root of a timestamp authority, and whether customers' privacy budget pays for the releases.

    Raises SettingError, SourceUnavailableError.
    """
    _require_known_quotas((name for name in settings.quota if name != DEFAULT_QUOTA), scenes)
    mail.sender(settings.mail)
    _require_stampable(settings)
    try:
        BudgetPlan.of(
            settings.privacy, settings.refit_days, settings.refit_changes, scenes.values()
        ).require_feasible()
    except BudgetPlanError as error:
        raise SettingError(str(error)) from error
    if not settings.source.startswith(POSTGRES):
        source_file(settings.data_dir, settings.source)


def _require_stampable(settings: Settings) -> None:
    """Raise SettingError for a timestamp authority whose tokens nobody could check."""
    authority = settings.timestamp_authority
    if authority and urlsplit(authority).scheme not in {"http", "https"}:
        raise SettingError(f"timestamp_authority is {authority!r}, want http:// or https://")
    if authority and not Path(settings.timestamp_roots).is_file():
        raise SettingError(
            f"timestamp_roots is {settings.timestamp_roots!r}, want a PEM file with the root of"
            " timestamp_authority: without it nobody can check its tokens"
        )


def source_file(home: Path, setting: str = "") -> Path:
    """The DuckDB file of the personal rows. Raises SourceUnavailableError if there is none."""
    path = Path(setting or home / "customers.duckdb")
    if path.is_file():
        return path
    if remedy := description.remedy(path):
        raise SourceUnavailableError(f"no file with customers' rows at {path}: {remedy}")
    check = "the setting source" if setting else "--data-dir, or name --company, or set source"
    raise SourceUnavailableError(
        f"no file with customers' rows at {path}: check {check} (a DuckDB, SQLite, CSV or Parquet "
        "file, or postgresql://…)"
    )


def open_source(settings: Settings, source: SourceContract) -> DuckDBSource | PostgresSource:
    """The personal rows that the settings name. Raises SourceUnavailableError."""
    tables = (source.table, source.key, source.related)
    if settings.source.startswith(POSTGRES):
        return PostgresSource(settings.source, *tables)
    path = source_file(settings.data_dir, settings.source)
    return SQLiteSource(path, *tables) if is_sqlite(path) else DuckDBSource(path, *tables)


def sound_source(settings: Settings, source: SourceContract) -> DuckDBSource | PostgresSource:
    """The same, to be served: raises SettingError, too, if a customer has two rows."""
    opened = open_source(settings, source)
    _require_one_row_each(opened, source.table)
    return opened


def _require_one_row_each(tables: DuckDBSource | PostgresSource, name: str) -> None:
    """One of two rows of a customer may be somebody else's."""
    try:
        found = source_probe.key_facts(tables, name)
    except SourceUnavailableError as error:
        _LOG.warning("whether each customer has one row could not be checked: %s", error)
        return
    if found.surplus:
        raise SettingError(
            f"table {name!r}, key {found.column!r}: want one row a customer, found {found.surplus} "
            "rows beyond a customer's first: correct the table"
        )


def planned(
    log: PlannedLog | None,
    company: Company,
    rules: CedarPolicy,
    home: Path,
    settings: tuple[ChangedSetting, ...] = (),
) -> PublicationPlan:
    """What a start would publish, over a log of its writer or of a follower; None: a new log.

    `settings`: those that change.

    Raises UndeclaredChangeError, MissingContractError or CedarPolicyError.
    """
    own = company_folder.decisions(company)
    return publication_plan.make(
        log,
        company,
        rules.digest,
        ContractArchive(home / CONTRACTS),
        home / SNAPSHOT,
        clock.now(),
        settings,
        decisions=(decisions.active(home), "" if own is None else own.digest),
    )


def publish_scenes(ledger: Ledger, company: Company, home: Path) -> None:
    """Announce every contract whose active version in the log differs.

    Raises UndeclaredChangeError or MissingContractError: see steward.contracts.publication.
    """
    publication.publish(ledger, company, ContractArchive(home / CONTRACTS), clock.now())


def publish_policy(ledger: Ledger, rules: CedarPolicy, home: Path) -> None:
    """Store the active policy, and announce it unless it was the last one announced.

    If we crash in between, the policy is stored and the next start announces it.
    """
    cedar.keep(rules, home / "policies")
    announced = [e.event for e in ledger.announced() if isinstance(e.event, PolicyPublished)]
    if not announced or announced[-1].digest != rules.digest:
        ledger.announce([PolicyPublished(rules.digest, clock.now())])


def publish_decisions(ledger: Ledger, own: DecisionPolicy | None, home: Path) -> None:
    """Store the company's decision policy, and announce its digest, or that there is none any more.

    If we crash in between, the policy is stored and the next start announces it.
    """
    if own is not None:
        decisions.keep(own, home / decisions.FOLDER)
    events = (each.event for each in ledger.announced())
    digests = [each.digest for each in events if isinstance(each, DecisionPolicyPublished)]
    digest = decisions.NONE if own is None else own.digest
    if digest != (digests[-1] if digests else decisions.NONE):
        ledger.announce([DecisionPolicyPublished(digest, clock.now())])


def releases(
    announced: Iterable[RecordedEvent], scenes: Mapping[str, Scene]
) -> dict[str, list[Release]]:
    """The synthetic releases of each scene in log order, rebuilt from the ledger alone."""
    by_scene: dict[str, list[Release]] = {}
    for entry in announced:
        event = entry.event
        if isinstance(event, SyntheticReleased) and event.scene in scenes:
            by_scene.setdefault(event.scene, []).append(Release.from_body(event.body))
    return by_scene


def begin_read_log(ledger: Ledger, home: Path) -> NewReadLog:
    """A read log that is announced: entries may be written to it."""
    new = new_log.begin(home, ledger.origin)
    ledger.announce([_opening(new)])
    return new


def rotation_limits(settings: Settings) -> RotationLimits:
    return RotationLimits(timedelta(days=settings.read_log_days), settings.read_log_entries)


def _opening(new: NewReadLog) -> ReadLogOpened:
    return ReadLogOpened(new.log.origin, new.vkey, clock.now())


def secret(path: Path) -> bytes:
    """32 random bytes in a file that only its owner can read, made on first use.

    Raises SecretError.
    """
    if not path.exists():
        with suppress(FileExistsError):  # another process was faster: use its secret
            atomic_file.create(path, secrets.token_bytes(SECRET_SIZE), atomic_file.OWNER_ONLY)
    data = path.read_bytes()
    if len(data) != SECRET_SIZE:
        raise SecretError(
            f"{path} has {len(data)} bytes, want {SECRET_SIZE}: restore it from a backup. "
            "Without one, remove the file: a new secret is made, and all derived values change"
        )
    return data
