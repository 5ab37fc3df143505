"""A company that changed its code: its processes write down the keys that sign read logs.

The product forgets such a key when its process ends. KEPT_KEYS names the file.
"""

import os
from pathlib import Path

from ledger.tlog import signed_note

_generate = signed_note.generate


def generate(name: str) -> signed_note.Signer:
    signer = _generate(name)
    with Path(os.environ["KEPT_KEYS"]).open("a", encoding="utf-8") as kept:
        kept.write(f"{signer.secret()}\n")
    return signer


signed_note.generate = generate
