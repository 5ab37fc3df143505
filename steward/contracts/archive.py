"""Archive of published contracts, byte for byte, to compare the next version with.

    home/contracts/<digest of the scene contract>/scene.odcs.yaml
                                                  source.odcs.yaml

The log names a contract by its digest only; the archive has the file with that digest.
"""

from hashlib import sha256
from pathlib import Path

from gate.contracts.odcs import ContractError
from gate.contracts.scene import Scene
from gate.contracts.scene_file import load_scene
from gate.contracts.source import SourceContract, load_source
from ledger.tlog import atomic_file

SCENE, SOURCE = "scene.odcs.yaml", "source.odcs.yaml"


class MissingContractError(ContractError):
    """A published contract is missing in the archive, so no version can be compared with it."""


class ContractArchive:
    """Contracts under `folder`, by digest. A contract is durable when `keep` returns."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._sources: dict[bytes, SourceContract] = {}  # by digest: many scenes have the same one

    def keep(self, scene: Path, source: Path, digest: str) -> None:
        """Store the contract of `digest` with the source contract it refers to.

        Raises ContractError if the file has another content by now.
        """
        place = self._folder / digest
        content = None if (place / SCENE).exists() else scene.read_bytes()
        if content is not None and sha256(content).hexdigest() != digest:
            raise ContractError(f"{scene} changed while it was published: try again")
        place.mkdir(parents=True, exist_ok=True)
        if not (place / SOURCE).exists():
            atomic_file.write(place / SOURCE, source.read_bytes(), atomic_file.PUBLIC)
        if content is not None:
            atomic_file.write(place / SCENE, content, atomic_file.PUBLIC)

    def read(self, digest: str) -> Scene:
        """The contract as it was published. Raises MissingContractError or ContractError."""
        place = self._folder / digest
        path = place / SCENE
        if not path.exists() or sha256(path.read_bytes()).hexdigest() != digest:
            raise MissingContractError(
                f"{path}: the published contract is missing, cannot compare versions; "
                "restore it from a backup, or publish a new major version with consentSince"
            )
        return load_scene(path, self._source(place / SOURCE))

    def _source(self, path: Path) -> SourceContract:
        """The source contract at `path`; the same content is read once. Raises ContractError."""
        if not path.exists():
            return load_source(path)
        digest = sha256(path.read_bytes()).digest()
        if digest not in self._sources:
            self._sources[digest] = load_source(path)
        return self._sources[digest]


class ReadContracts:
    """The archived scene contracts of a data directory, each parsed once. Thread-safe.

    One that cannot be read (of an older format, damaged, or still being written) is left out.
    """

    def __init__(self, home: Path) -> None:
        self._folder = home / "contracts"
        self._archive = ContractArchive(self._folder)
        self._read: dict[str, Scene] = {}

    def all(self) -> list[Scene]:
        """In no order. Contracts that were archived since the last call are among them."""
        found = (self._scene(each.name) for each in self._folder.glob("*"))
        return [scene for scene in found if scene is not None]

    def _scene(self, digest: str) -> Scene | None:
        if digest not in self._read:
            try:
                self._read[digest] = self._archive.read(digest)
            except ContractError:
                return None
        return self._read[digest]
