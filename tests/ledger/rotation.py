"""A rotation of the key-encryption key that is killed at its nth step."""

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from ledger.vault import key_encryption_key
from ledger.vault.vault import Vault

CHANGES = {"open", "os.rename", "os.remove", "sqlite3.connect"}


def rotate(folder: Path, nth: int, to: str, env: Mapping[str, str]) -> None:
    """Each change of a file in the folder is a step, and each key that is wrapped again."""
    os.environ.update(env)  # where the hardware module has its tokens
    left = nth

    def step(*_: object) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event in CHANGES and str(folder) in str(arguments):
            step()

    vault = Vault(folder)
    sys.addaudithook(hook)
    vault.rotate(key_encryption_key.next_generation(to), step)
