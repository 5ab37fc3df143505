"""The contracts as they were published, kept byte for byte: what the next version is held against.

    home/contracts/<digest of the scene contract>/scene.odcs.yaml
                                                  source.odcs.yaml

The log names a contract by its digest only; here is what the digest stands for.
"""

from hashlib import sha256
from pathlib import Path

from gate.contracts.scene import ContractError, Scene, load_scene, load_source
from ledger.tlog import atomic_file

SCENE, SOURCE = "scene.odcs.yaml", "source.odcs.yaml"


class MissingContractError(ContractError):
    """A published contract is not in the archive, so nothing can be held against it."""


class ContractArchive:
    """Contracts under `folder`, by digest. A contract is durable when `keep` returns."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, scene: Path, source: Path, digest: str) -> None:
        """Keep the contract of `digest` with the source contract it was read over."""
        place = self._folder / digest
        place.mkdir(parents=True, exist_ok=True)
        for name, path in ((SOURCE, source), (SCENE, scene)):
            if not (place / name).exists():
                atomic_file.write(place / name, path.read_bytes(), atomic_file.PUBLIC)

    def read(self, digest: str) -> Scene:
        """The contract as it was published. Raises MissingContractError or ContractError."""
        place = self._folder / digest
        path = place / SCENE
        if not path.exists() or sha256(path.read_bytes()).hexdigest() != digest:
            raise MissingContractError(
                f"{path}: want the contract that was published, to hold the new version against; "
                "restore it from a backup, or publish a new major version with consentSince"
            )
        return load_scene(path, load_source(place / SOURCE))
