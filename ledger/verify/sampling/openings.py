"""What a company opens for a challenge: of each drawn entry what opens this one, and no other.

    {"challenge":"5b0e… (SHA-256 of the file, in hex)","openings":[
      {"entry":12,"instruction":null,"key":"9f2c… (32 bytes in hex)","list":null,
       "log":"bank.example/reads-1a2b3c4d"}],"type":"sovereign/openings/v1"}

`key` opens the entry, or the decision of its `list` that the challenge chooses
(ledger.vault.commitments.EntryKeys). `list` is the text that a batch entry names by SHA-256.
`instruction` has what opens the entry of the consent log that the answer rests on: `event`, `salt`
and `tag` as in a receipt. It names the customer, so it is there only if the regulator demands it;
`"erased"` says that an erasure has destroyed it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ledger.vault import commitments
from ledger.verify.sampling.challenge import DrawnEntry

TYPE = "sovereign/openings/v1"
MAX_SIZE = 1 << 30  # bytes: the lists of large batches
ERASED = "erased"
_KEY = re.compile(r"[0-9a-f]{64}")
_MEMBERS = frozenset({"entry", "instruction", "key", "list", "log"})
_INSTRUCTION = frozenset({"event", "salt", "tag"})


class OpeningsError(ValueError):
    """The file is not one of openings."""


@dataclass(frozen=True, slots=True)
class EntryOpening:
    """What opens one entry. `instruction`: see the module; None: it was not asked for."""

    drawn: DrawnEntry
    key: bytes
    listing: str | None = None
    instruction: Mapping[str, Any] | str | None = None

    def members(self) -> dict[str, Any]:
        return {
            "entry": self.drawn.entry,
            "instruction": self.instruction,
            "key": self.key.hex(),
            "list": self.listing,
            "log": self.drawn.log,
        }


@dataclass(frozen=True, slots=True)
class Openings:
    """The answer to the challenge with this digest."""

    challenge: str
    openings: tuple[EntryOpening, ...]

    def encode(self) -> bytes:
        """The file: canonical JSON and a line end."""
        opened = [each.members() for each in self.openings]
        value = {"challenge": self.challenge, "openings": opened, "type": TYPE}
        return commitments.canonical(value) + b"\n"


def parse(data: bytes) -> Openings:
    """Parse the file; it formats back to the same bytes. Raises OpeningsError."""
    try:
        value = commitments.parse(data)
        opened = tuple(_opening(each) for each in value["openings"])
        parsed = Openings(value["challenge"], opened)
        formatted = parsed.encode()
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError) as error:
        raise OpeningsError(f"not a file of openings: {error}") from error
    if formatted != data or not isinstance(parsed.challenge, str):
        raise OpeningsError("not a file of openings in canonical form")
    if len({each.drawn for each in opened}) != len(opened):
        raise OpeningsError("an entry is opened twice: want each once")
    return parsed


def _opening(value: Any) -> EntryOpening:
    if value.keys() != _MEMBERS:
        raise OpeningsError(f"want the members {sorted(_MEMBERS)}, found {sorted(value)}")
    drawn = DrawnEntry(value["log"], value["entry"])
    if not isinstance(drawn.log, str) or type(drawn.entry) is not int or drawn.entry < 0:
        raise OpeningsError("want the origin of a log and the index of an entry")
    if not isinstance(value["key"], str) or not _KEY.fullmatch(value["key"]):
        raise OpeningsError(f"entry {drawn.entry}: the key is not 32 bytes in hex")
    if not isinstance(value["list"], str | None):
        raise OpeningsError(f"entry {drawn.entry}: the list is no text")
    return EntryOpening(
        drawn, bytes.fromhex(value["key"]), value["list"], _instruction(value["instruction"])
    )


def _instruction(value: Any) -> Mapping[str, Any] | str | None:
    if value is None or value == ERASED:
        return ERASED if value else None
    if not isinstance(value, dict) or value.keys() != _INSTRUCTION:
        raise OpeningsError(f"want an instruction with {sorted(_INSTRUCTION)}, {ERASED!r} or null")
    sizes = (("salt", commitments.SALT_SIZE), ("tag", commitments.TAG_SIZE))
    for name, size in sizes:
        if not re.fullmatch(rf"[0-9a-f]{{{2 * size}}}", str(value[name])):
            raise OpeningsError(f"the {name} of an instruction is not {size} bytes in hex")
    return value
