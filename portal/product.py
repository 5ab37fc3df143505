"""The product put together: one ledger, one source, one gate. The composition root below the web.

home/ledger.sqlite       the consent log and the sealed events
home/keys/               private keys (owner only) and *.vkey verifier keys
home/customers.duckdb    the personal rows, read only through the gate
home/reads/<instance>/   one read log per run of a gate
home/log/                the public tile directories
home/receipts/           what customers keep
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path

from gate.contract import Fallback, Scene, Source, load_scenes, load_source
from gate.journal import Journal, instance_name
from gate.read import Gate
from gate.sources.duckdb import DuckDBSource
from ledger.event import ReadLogAnchored, ReadLogOpened, ScenePublished, SyntheticReleased
from ledger.ledger import Ledger
from ledger.log import Log
from portal.settings import Settings
from synthetic.release import Release


@dataclass(frozen=True, slots=True)
class Product:
    settings: Settings
    ledger: Ledger
    gate: Gate
    source: Source
    scenes: Mapping[str, Scene]
    reads: Log

    @property
    def home(self) -> Path:
        return self.settings.data_dir

    def publish(self) -> None:
        """Write the public tile directories of both logs."""
        anchor_reads(self.ledger, self.reads)
        self.ledger.export(self.home / "log" / "consent")
        self.reads.export(self.home / "log" / self.reads.origin.rsplit("/", 1)[-1])


def specs() -> Path:
    """Where the contracts are: beside the packages in a checkout, inside `gate` when installed."""
    packaged = Path(str(files("gate"))) / "specs"
    return packaged if packaged.is_dir() else Path(str(files("gate"))).parent / "specs"


def contracts() -> tuple[Source, dict[str, Scene]]:
    source = load_source(specs() / "sources" / "customer.odcs.yaml")
    return source, load_scenes(specs() / "scenes", source)


def open_product(settings: Settings) -> Product:
    """Open everything under `settings.data_dir`, which must hold `customers.duckdb`."""
    home = settings.data_dir
    source, scenes = contracts()
    ledger = Ledger.open(home, origin=settings.origin)
    reads = _open_read_log(ledger, home)
    gate = Gate(
        ledger,
        DuckDBSource(home / "customers.duckdb"),
        scenes,
        Journal(reads, ledger, home / "reads" / reads.origin.rsplit("/", 1)[-1]),
        _secret(home / "keys" / "surrogate.key"),
    )
    publish_scenes(ledger, scenes)
    for release in releases(ledger, scenes).values():
        gate.serve(release.scene, release)
    return Product(settings, ledger, gate, source, scenes, reads)


def publish_scenes(ledger: Ledger, scenes: Mapping[str, Scene]) -> None:
    """Announce every contract the log does not hold yet in exactly this form."""
    known = {
        (entry.event.scene, entry.event.digest)
        for entry in ledger.follow(0)
        if isinstance(entry.event, ScenePublished)
    }
    now = datetime.now(UTC).replace(microsecond=0)
    new = [
        ScenePublished(scene.id, scene.version, scene.digest, now)
        for scene in scenes.values()
        if (scene.id, scene.digest) not in known
    ]
    if new:
        ledger.announce(new)


def releases(ledger: Ledger, scenes: Mapping[str, Scene]) -> dict[str, Release]:
    """The last synthetic release of each scene, rebuilt from the ledger alone."""
    found: dict[str, Release] = {}
    for entry in ledger.follow(0):
        event = entry.event
        if isinstance(event, SyntheticReleased) and event.scene in scenes:
            found[event.scene] = Release.from_body(event.body)
    return found


def synthesised(scenes: Mapping[str, Scene]) -> list[Scene]:
    return [s for s in scenes.values() if s.fallback is Fallback.SYNTHETIC and not s.locked]
