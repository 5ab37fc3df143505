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
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from heapq import merge
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from gate import factory
from gate.contracts.scene import Scene, load_scenes
from gate.contracts.source import SourceContract, load_source, specs_folder
from gate.decision.alert import Alarm, GateAlert, log
from gate.decision.quota import Quotas
from gate.policy import cedar
from gate.policy.cedar import CedarPolicy
from gate.readlog.by_customer import listed
from gate.readlog.writer import LOG, Journal, ManyEntryTagger, instance_name
from gate.reads.point import Gate, GateOptions, LedgerView
from gate.reads.sources.duckdb import DuckDBSource
from gate.reads.sources.interface import RowSource, SourceUnavailableError
from gate.reads.sources.postgres import PostgresSource
from gate.state import snapshot
from gate.state.consent_index import ConsentIndex
from gate.state.snapshot import StateCopy
from ledger import clock
from ledger.events.envelope import PolicyPublished, ReadLogOpened, SyntheticReleased
from ledger.reader import RecordedEvent
from ledger.service import Ledger
from ledger.tlog import atomic_file, signed_note
from ledger.tlog.writer import Log
from portal.operations import mail, open_ledger
from portal.operations.publishing import Anchors, Publisher
from portal.operations.settings import SettingError, Settings
from steward.agreements.stability import Histories, WithStability
from steward.alert_cases import Alarms
from steward.contracts import publication
from steward.contracts.archive import ContractArchive
from steward.contracts.source_probe import SourceTables
from steward.notify import recipients
from steward.oversight import review
from steward.oversight.register import Register
from synthetic.fitting.release import Release

POSTGRES = ("postgresql://", "postgres://")  # how the setting `source` begins then
SECRET = Path("keys") / "surrogate.key"
SECRET_SIZE = 32  # bytes
DEFAULT_QUOTA = "default"
SNAPSHOT = Path("state") / "consent.npz"
_LOG = logging.getLogger("sovereign")


class SecretError(Exception):
    """A secret key file has the wrong size. Nothing is derived from it."""


@dataclass(frozen=True, slots=True)
class Product:
    settings: Settings
    ledger: Ledger
    gate: Gate
    source: SourceContract
    scenes: Mapping[str, Scene]
    reads: Log
    tables: SourceTables  # of the personal source, for checks that read no row

    @property
    def home(self) -> Path:
        return self.settings.data_dir

    def reads_of(self, subject: str, skip: int = 0) -> Iterator[tuple[int, dict[str, Any]]]:
        """Every point read of one customer through every gate, newest first.

        The first `skip` entries are skipped without being opened.
        """
        folders = [path.parent for path in (self.home / "reads").glob(f"*/{LOG}")]
        if len(folders) > 1:  # most logs of ended gates have no entry of this customer
            folders = [f for f in folders if any(True for _ in listed(f, self.ledger, subject))]
        if len(folders) == 1:
            entries = listed(folders[0], self.ledger, subject, skip)
        else:
            several = (listed(each, self.ledger, subject) for each in folders)
            entries = islice(merge(*several, key=lambda each: each.at, reverse=True), skip, None)
        for each in entries:
            if (entry := each.entry()) is not None:
                yield each.place, entry

    def register(self) -> Register:
        """The register of reviews, explanations, reminders and searches."""
        return Register(self.home / "register.sqlite", self.ledger, review.SCHEMA)

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
        Publisher(self.home, self.ledger, self.reads).publish()


def contracts() -> tuple[SourceContract, dict[str, Scene]]:
    specs = specs_folder()
    source = load_source(specs / "sources" / "customer.odcs.yaml")
    return source, load_scenes(specs / "scenes", source)


def open_product(settings: Settings) -> Product:
    """Open everything under `settings.data_dir`.

    Raises SettingError and SourceUnavailableError before anything is created there, and what its
    parts raise.
    """
    home = settings.data_dir
    source, scenes = contracts()
    require_usable(settings, scenes)
    tables = open_source(settings)
    ledger = open_ledger.begin(home, settings.origin)
    reads = _open_read_log(ledger, home)
    policy = cedar.load(specs_folder() / "policy")
    publish_scenes(ledger, scenes, home)
    publish_policy(ledger, policy, home)
    state = snapshot.load(home / SNAPSHOT, scenes, ledger)
    gate = build_gate(settings, ledger, source, scenes, policy, reads, rows=tables, state=state)
    return Product(settings, ledger, gate, source, scenes, reads, tables)


class GateLedger(LedgerView, ManyEntryTagger, Histories, Protocol):
    """The consent log as a gate needs it: its writer, or a follower in another process."""

    def announced(self) -> Iterable[RecordedEvent]: ...


def build_gate(  # noqa: PLR0913 - shared by the writer's process and a gate's own process
    settings: Settings,
    ledger: GateLedger,
    source: SourceContract,
    scenes: Mapping[str, Scene],
    policy: CedarPolicy,
    reads: Log,
    *,
    rows: RowSource,
    state: ConsentIndex | None = None,
) -> Gate:
    """Build this product's gate, inside the portal or in a process of its own."""
    alerts = alarm(settings, settings.origin, scenes)
    options = GateOptions(
        known_by(source), quotas(settings, scenes, alerts), alerts, settings.shadow_every
    )
    home = settings.data_dir
    return factory.build(
        ledger,
        WithStability(rows, ledger, scenes),
        scenes,
        Journal(reads, ledger, home / "reads" / reads.origin.rsplit("/", 1)[-1]),
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


def alarm(settings: Settings, origin: str, scenes: Mapping[str, Scene]) -> Alarm:
    """A listener that logs the gate's alerts and opens a case for each."""
    home = settings.data_dir
    alarms = Alarms(home, scenes, origin, lambda role: recipients.channels(home, role))

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
    return Quotas(limits, settings.quota.get(DEFAULT_QUOTA), alarm)


def _require_known_quotas(names: Iterable[str], scenes: Mapping[str, Scene]) -> None:
    known = {f"{each.id}/{scene.id}" for scene in scenes.values() for each in scene.services}
    if unknown := sorted({*names} - known):
        raise SettingError(
            f"setting quota: found {', '.join(unknown)}, want {DEFAULT_QUOTA!r} or a service/scene "
            f"of a contract, such as {min(known)}"
        )


def require_usable(settings: Settings, scenes: Mapping[str, Scene]) -> None:
    """Check what can be checked before anything is created: quotas, mail, the source's file.

    Raises SettingError, SourceUnavailableError.
    """
    _require_known_quotas((name for name in settings.quota if name != DEFAULT_QUOTA), scenes)
    mail.sender(settings.mail)
    if not settings.source.startswith(POSTGRES):
        source_file(settings.data_dir, settings.source)


def source_file(home: Path, setting: str = "") -> Path:
    """The DuckDB file of the personal rows. Raises SourceUnavailableError if there is none."""
    path = Path(setting or home / "customers.duckdb")
    if path.is_file():
        return path
    check = "the setting source" if setting else "--data-dir, or set source"
    raise SourceUnavailableError(
        f"no file with customers' rows at {path}: check {check} (a DuckDB file or postgresql://…)"
    )


def open_source(settings: Settings) -> DuckDBSource | PostgresSource:
    """The personal rows that the settings name. Raises SourceUnavailableError."""
    if settings.source.startswith(POSTGRES):
        return PostgresSource(settings.source)
    return DuckDBSource(source_file(settings.data_dir, settings.source))


def publish_scenes(ledger: Ledger, scenes: Mapping[str, Scene], home: Path) -> None:
    """Announce every contract whose active version in the log differs.

    Raises UndeclaredChangeError or MissingContractError: see steward.contracts.publication.
    """
    publication.publish(
        ledger, scenes, specs_folder(), ContractArchive(home / "contracts"), clock.now()
    )


def publish_policy(ledger: Ledger, rules: CedarPolicy, home: Path) -> None:
    """Store the active policy, and announce it unless it was the last one announced.

    If we crash in between, the policy is stored and the next start announces it.
    """
    cedar.keep(rules, home / "policies")
    announced = [e.event for e in ledger.announced() if isinstance(e.event, PolicyPublished)]
    if not announced or announced[-1].digest != rules.digest:
        ledger.announce([PolicyPublished(rules.digest, clock.now())])


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


def _open_read_log(ledger: Ledger, home: Path) -> Log:
    """A new read log for this run, announced in the consent log before anything is read."""
    instance = f"reads-{instance_name()}"
    origin = f"{ledger.origin.rsplit('/', 1)[0]}/{instance}"
    signer = signed_note.generate(origin)
    folder = home / "reads" / instance
    folder.mkdir(parents=True)
    log = Log.open(folder / LOG, origin, signer)
    atomic_file.write(home / "keys" / f"{instance}.vkey", f"{signer.verifier}\n".encode())
    ledger.announce([ReadLogOpened(origin, str(signer.verifier), clock.now())])
    return log


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
