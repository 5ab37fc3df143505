"""The company of the demonstration, which most tests use."""

from collections.abc import Mapping
from pathlib import Path

from gate.contracts import company
from gate.contracts.company import Company
from gate.contracts.scene import Scene
from gate.contracts.source import SourceContract

BANK = Path(__file__).parents[1] / "examples" / "bank"
SOURCE_CONTRACT = BANK / "sources" / "customer.odcs.yaml"
SCENES_FOLDER = BANK / "scenes"


def bank() -> Company:
    return company.load(BANK)


def contracts() -> tuple[SourceContract, Mapping[str, Scene]]:
    read = bank()
    return read.source, read.scenes
