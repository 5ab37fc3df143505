"""A signal: a C2SP signed note, by the key that `sovereign keygen` wrote.

sovereign/signal/v1
{"at":"2026-01-01T12:00:00Z","signal":"leaving-model-accuracy","source":"model-monitor", …}

— model-monitor Az3grlgtzPICa5OS8npVmf1Myq…=
"""

import json
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

KEY_SIZE = 33  # bytes: the algorithm, then the seed of Ed25519
ED25519 = 1


class SignalKeyError(ValueError):
    """The file is not a signing key as `sovereign keygen` writes it."""


def signed(signal: str, value: int, at: datetime, key: Path) -> str:
    """The report of a signal. `at`: aware, in UTC. Raises SignalKeyError."""
    name, identifier, secret = _key(key)
    report = {
        "at": f"{at:%Y-%m-%dT%H:%M:%SZ}",
        "signal": signal,
        "source": name,
        "type": "signal-reported",
        "value": value,
    }
    line = json.dumps(report, separators=(",", ":"), sort_keys=True)
    text = f"sovereign/signal/v1\n{line}\n"
    signature = b64encode(identifier + secret.sign(text.encode())).decode()
    return f"{text}\n\N{EM DASH} {name} {signature}\n"


def _key(file: Path) -> tuple[str, bytes, Ed25519PrivateKey]:
    try:
        private, key, name, identifier, encoded = file.read_text("utf-8").strip().split("+", 4)
        secret = b64decode(encoded, validate=True)
        if (private, key, len(secret), secret[0]) != ("PRIVATE", "KEY", KEY_SIZE, ED25519):
            raise SignalKeyError
        return name, bytes.fromhex(identifier), Ed25519PrivateKey.from_private_bytes(secret[1:])
    except (ValueError, Base64Error) as error:
        raise SignalKeyError(f"{file}: want PRIVATE+KEY+<name>+<id>+<key> of Ed25519") from error
