"""A service that reports a model's accuracy: a C2SP signed note, made without the product's code.

sovereign/signal/v1
{"at":"2026-01-01T12:00:00Z","signal":"anomaly-model-accuracy","source":"model-monitor", …}

— model-monitor Az3grlgtzPICa5OS8npVmf1Myq…=
"""

import json
from base64 import b64decode, b64encode
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SOURCE = "model-monitor"


def accuracy(ten_thousandths: int, key: Path) -> str:
    """The signed report that the model is right in so many of 10,000 cases, as of now."""
    return signed("anomaly-model-accuracy", ten_thousandths, key)


def signed(signal: str, value: int, key: Path) -> str:
    """The signed report of a signal as of now.

    `key`: the private key that `sovereign keygen` wrote: PRIVATE+KEY+<name>+<id>+<key>.
    """
    report = {
        "at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "signal": signal,
        "source": SOURCE,
        "type": "signal-reported",
        "value": value,
    }
    line = json.dumps(report, separators=(",", ":"), sort_keys=True)
    text = f"sovereign/signal/v1\n{line}\n"
    _, _, name, identifier, encoded = key.read_text("utf-8").strip().split("+", 4)
    secret = Ed25519PrivateKey.from_private_bytes(b64decode(encoded)[1:])
    signature = bytes.fromhex(identifier) + secret.sign(text.encode())
    return f"{text}\n\N{EM DASH} {name} {b64encode(signature).decode()}\n"
