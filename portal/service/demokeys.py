"""DEMONSTRATION ONLY: a key for each service, so that its signed assertions can be tried.

home/keys/demo-services.json    private JWKs by service, for the owner only; made on first use

Outside the demonstration services have their own keys, and this file does not exist.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from joserfc.jwk import ECKey

from ledger.tlog import atomic_file

FILE = Path("keys") / "demo-services.json"


def private(home: Path, services: Iterable[str]) -> Mapping[str, Mapping[str, Any]]:
    """A private JWK for each service. Missing ones are made and stored."""
    path = home / FILE
    known: dict[str, dict[str, Any]] = json.loads(path.read_text()) if path.exists() else {}
    missing = [each for each in services if each not in known]
    if missing:
        for each in missing:
            key = ECKey.generate_key("P-256", {"kid": each})
            known[each] = dict(key.as_dict(private=True))
        atomic_file.write(path, json.dumps(known).encode(), atomic_file.OWNER_ONLY)
    return known


def public(home: Path, services: Iterable[str]) -> Mapping[str, Mapping[str, Any]]:
    """The public JWK of each service."""
    keys = private(home, services)
    return {name: ECKey.import_key(dict(key)).as_dict(private=False) for name, key in keys.items()}
