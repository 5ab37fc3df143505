"""A data directory with every kind of file that a product writes, and ways to damage one."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from random import Random

from gate.policy import decisions
from gate.reads.bulk.request import TableRequest
from gate.reads.bulk.table import read_table
from gate.reads.request import ReadRequest
from gate.storage.api_keys import ApiKeyStore
from ledger import clock
from ledger.events.envelope import Granted, Withdrawn
from ledger.tlog import atomic_file
from portal.archive import store
from portal.archive.store import ArchiveStore
from portal.auth.passkeys import Host, Passkeys
from portal.consent.wording import wording
from portal.data_directory import inspection
from portal.data_directory.inventory import FileDamage
from portal.jobs import cases, contract_checks
from portal.jobs.refits import Attempts
from portal.operations.erasure import Eraser
from portal.operations.job_results import FILE as JOBS
from portal.operations.job_results import JobResults
from portal.operations.settings import Settings
from portal.operations.wiring import Product, open_product, secret
from portal.service import demokeys
from portal.web import i18n
from steward.notify import webhook

DATA = Path(__file__).parents[1] / "data"
SCENE, SERVICE, FIELDS = "recommendation", "recommender", ("age",)
LIVING, ERASED = "c00002", "c00003"
STEWARD = '[webhook.crm]\nurl = "https://crm.bank.example/hooks"\nroles = ["account-manager"]\n'


def lived(seeded: Path, home: Path) -> Path:
    """Fill `home` as a product does in which everything happened, and end the product.

    The customers' rows are those of `seeded`; the ledger is a new one, with keys of its own.
    """
    home.mkdir(parents=True)
    shutil.copy(seeded / "customers.duckdb", home)
    product = open_product(Settings(data_dir=home, demo=True))
    _grant(product, LIVING, ERASED)
    at = clock.now()
    for subject in (LIVING, ERASED):
        product.gate.read(ReadRequest(SERVICE, SCENE, subject, FIELDS, at))
    read_table(product.gate, TableRequest("analytics", "segmentation", ("age",), at))
    product.publish()
    product.ledger.rotate(home, at)
    _withdraw(product, LIVING)
    product.keep_state()
    for each in (cases.job(product), contract_checks.job(product)):
        each.work(at)
    Eraser(home, product.ledger, product.register()).customer(ERASED, at)
    product.keep_state()
    _small_files(product)
    product.publish()
    product.ledger.close()
    product.reads.close()
    return home


def _grant(product: Product, *subjects: str) -> None:
    for subject in subjects:
        for name in (SCENE, "segmentation"):
            scene = product.scenes[name]
            act = Granted(name, (*scene.fields,), None)
            shown = wording(scene, i18n.load()["en"])
            drafted = product.ledger.draft(subject, act, at=clock.now(), wording=shown)
            product.ledger.record([drafted])


def _withdraw(product: Product, subject: str) -> None:
    shown = wording(product.scenes[SCENE], i18n.load()["en"])
    act = product.ledger.draft(subject, Withdrawn(SCENE), at=clock.now(), wording=shown)
    (recorded,) = product.ledger.record([act])
    path = product.home / "receipts" / f"{recorded.index}.tlog-proof"
    atomic_file.write(path, product.ledger.receipt(recorded.index).encode())


def _small_files(product: Product) -> None:
    home, at = product.home, clock.now()
    with closing(Passkeys(home)) as keys:
        keys.offer(LIVING, "a customer", Host("localhost", "http://localhost"))
    ArchiveStore(home, secret(home / store.KEY)).put(
        store.folder(product.ledger, LIVING), b"an archive", at
    )
    secret(home / "keys" / "receipt-link.key")
    demokeys.private(home, [SERVICE])
    atomic_file.write(home / "steward.toml", STEWARD.encode())
    webhook.keys(home / "keys" / "webhook-crm.whsec")
    JobResults(home / JOBS).end(at)
    Attempts(home).begin("segmentation", at)
    issued = ApiKeyStore(home)
    used, revoked = (issued.issue(SERVICE, at, at + timedelta(days=1))[0] for _ in range(2))
    issued.used(used.id, [product.gate.journal.logged(0, 2)], at)
    issued.revoke(revoked.id, at)
    own = decisions.load(DATA / "authzen" / "policy")
    assert own is not None
    decisions.keep(own, home / decisions.FOLDER)


@dataclass(frozen=True, slots=True)
class Injury:
    """One damage to one file. `table`: of the database, if the damage is in its pages."""

    damage: FileDamage
    file: str
    table: str = ""

    def __str__(self) -> str:
        return f"{self.damage} {self.file} {self.table}".strip()

    def inflict(self, home: Path, other: Path, chance: Random) -> None:
        path = home / self.file
        match self.damage:
            case FileDamage.DELETED:
                path.unlink()
            case FileDamage.TRUNCATED:
                data = path.read_bytes()
                path.write_bytes(data[: chance.randrange(len(data))])
            case FileDamage.EXCHANGED:
                shutil.copy(other / self.file, path)
            case FileDamage.CHANGED:
                _randomise(path, self.table, chance)


def _randomise(path: Path, table: str, chance: Random) -> None:
    """Random bytes in one page of the table, or in the middle third of a file without tables."""
    size = path.stat().st_size
    start, end = size // 3, size - size // 3
    if table:
        with closing(sqlite3.connect(path)) as connection:
            ((length,),) = connection.execute("PRAGMA page_size").fetchall()
            query = "SELECT pageno FROM dbstat WHERE name = ?"
            (page,) = chance.choice(connection.execute(query, [table]).fetchall())
        start, end = (page - 1) * length, page * length
    with path.open("r+b") as file:
        file.seek(start)
        file.write(chance.randbytes(end - start))


def injuries(home: Path, other: Path) -> Iterator[Injury]:
    """Every damage to every file and table of `home`. `other`: of another ledger."""
    theirs = {*inspection.files(other)}
    for file in inspection.files(home):
        path = home / file
        yield Injury(FileDamage.DELETED, file)
        if path.stat().st_size:
            yield Injury(FileDamage.TRUNCATED, file)
            for table in tables(path) or [""]:
                yield Injury(FileDamage.CHANGED, file, table)
        if file in theirs and (other / file).read_bytes() != path.read_bytes():
            yield Injury(FileDamage.EXCHANGED, file)


def tables(path: Path) -> list[str]:
    """The tables and indexes with pages of their own, if the file is a SQLite database."""
    if path.suffix not in {".sqlite", ".db"}:
        return []
    with closing(sqlite3.connect(path)) as connection:
        return [row[0] for row in connection.execute("SELECT DISTINCT name FROM dbstat")]
