"""The id of a person on whose behalf a service asked, masked in read-log entries (G161).

64 bytes, the id and zeros after it, XORed with a pad of the customer, the log and the entry.
"""

import hmac
import re

PERSON_SIZE = 64  # bytes: longest id of a person on whose behalf a service asks
_PERSON_INFO = b"sovereign/on-behalf-of/v1\0"
_PERSON = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}")
_MASKED_PERSON = re.compile(r"[0-9a-f]{128}")


def masked_person(person: str, key: bytes, index: int) -> str:
    """What entry `index` says of the person on whose behalf a service asked, under `position_key`.

    Every id has the same length there, and the same id looks different in every entry. Raises
    ValueError for what is not an id: see `require_person`.
    """
    require_person(person)
    padded = int.from_bytes(person.encode().ljust(PERSON_SIZE, b"\0"))
    return f"{padded ^ _person_pad(key, index):0{2 * PERSON_SIZE}x}"


def unmasked_person(text: str, key: bytes, index: int) -> str:
    """The id that `masked_person` masked. Raises ValueError if it never gives `text`."""
    if not is_masked_person(text):
        raise ValueError(f"a masked id has 128 hexadecimal digits, found {text[:32]!r}")
    padded = (int(text, 16) ^ _person_pad(key, index)).to_bytes(PERSON_SIZE)
    person = padded.rstrip(b"\0").decode("latin-1")
    require_person(person)
    return person


def require_person(text: str) -> None:
    """Raises ValueError for an id of a person that no read-log entry has."""
    if not _PERSON.fullmatch(text):
        raise ValueError(
            f"want an id of 1 to {PERSON_SIZE} letters, digits and ._@+- that begins with a letter "
            f"or digit, found {text[:32]!r}"
        )


def is_masked_person(text: object) -> bool:
    return isinstance(text, str) and _MASKED_PERSON.fullmatch(text) is not None


def _person_pad(key: bytes, index: int) -> int:
    return int.from_bytes(hmac.digest(key, _PERSON_INFO + index.to_bytes(8), "sha512"))
