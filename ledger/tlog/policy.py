"""C2SP tlog-policy: which logs are trusted, and which witnesses must have cosigned.

    log demo.example/consent+1d3f…+AXj2…
    log demo.example/consent+90ab…+Bk6a…
    witness w1 witness.example/w1+b2c4…+BFq…
    witness w2 witness.example/w2+77de…+BJx…
    witness w3 witness.example/w3+01af…+BKm…
    group majority 2 w1 w2 w3
    quorum majority
    vrf demo.example/consent/state 5c0a…64 digits…9e 0

A log that is listed with keys of two signature types must have signed with both, so that a broken
Ed25519 key is not enough. Of several keys of one type (after a rotation) one must have signed.

After a rotation, `range` says which checkpoints a key may sign: those of sizes [first, end), here
the keys that were retired at 70,000 entries, and their successors. A checkpoint of another size is
not signed by that key. A key without such a line signs checkpoints of any size.

    range demo.example/consent+1d3f… 0 70001
    range demo.example/consent+77ab… 70000 *

The lines `range` and `vrf` are ours, not C2SP's, so other readers refuse a policy that has one.
`vrf` has the key of the labels of the map in that state log, and the number of the first entry of
the log that names it. See specs/statemap.md, "Labels".
"""

import re
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import groupby
from types import MappingProxyType

from ledger.tlog import checkpoint, cosignature, mldsa, signed_note
from ledger.tlog.checkpoint import Checkpoint, MalformedCheckpointError
from ledger.tlog.cosignature import CosignatureError, WitnessKey
from ledger.tlog.mldsa import MldsaVerifier
from ledger.tlog.signed_note import Note, NoteError, Verifier

NONE = "none"
NO_END = "*"
_CONTROL = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]")
UNWITNESSED = f"quorum {NONE}\n"
MAX_LINES = 1_000
MAX_DEPTH = 16  # of groups within groups
MAX_SIZE = 1 << 22  # bytes: 1,000 keys of ML-DSA-44
_KEY_SIZE = 32  # bytes of the key of a map
_TIME_SIZE = 8  # bytes of a cosignature's time

LogKey = Verifier | MldsaVerifier
CosignerKey = WitnessKey | MldsaVerifier


class LogPolicyError(ValueError):
    """The policy is malformed, or the checkpoint does not satisfy it."""


@dataclass(frozen=True, slots=True)
class MapKey:
    """The key of a map's labels, which the entries of its state log name from `since` on."""

    origin: str  # of the state log
    public: bytes
    since: int

    def __str__(self) -> str:
        return f"vrf {self.origin} {self.public.hex()} {self.since}"


@dataclass(frozen=True, slots=True)
class KeyRange:
    """The sizes [first, end) of the checkpoints that a log's key may sign; None: no end."""

    first: int
    end: int | None

    def __contains__(self, size: int) -> bool:
        return self.first <= size and (self.end is None or size < self.end)

    def __str__(self) -> str:
        return f"{self.first} {NO_END if self.end is None else self.end}"


@dataclass(frozen=True, slots=True)
class WitnessGroup:
    """At least `k` of `members`, each a witness or another group."""

    k: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LogPolicy:
    logs: tuple[LogKey, ...]
    witnesses: Mapping[str, CosignerKey] = field(default_factory=dict)
    groups: Mapping[str, WitnessGroup] = field(default_factory=dict)
    quorum: str = NONE
    addresses: Mapping[str, str] = field(default_factory=dict)  # witness name -> URL
    maps: Mapping[str, MapKey] = field(default_factory=dict)  # by the state log's origin
    ranges: Mapping[str, KeyRange] = field(default_factory=dict)  # by `key_name`

    def verify(self, signed: Note) -> Checkpoint:
        """The note's checkpoint. Raises LogPolicyError unless the log and the quorum signed it."""
        try:
            head = checkpoint.parse(signed.text)
        except MalformedCheckpointError as error:
            raise LogPolicyError(str(error)) from error
        mine = [key for key in self.logs if key.name == head.origin]
        if not mine:
            raise LogPolicyError(
                f"the policy does not list the log {head.origin!r}; it lists "
                f"{sorted({key.name for key in self.logs})}"
            )
        for _, keys in groupby(sorted(mine, key=_kind), key=_kind):
            self._require_one([*keys], signed, head.size)
        self.require_quorum(signed)
        return head

    def verify_cosigned(self, signed: Note) -> Checkpoint:
        """As `verify`; but if a quorum must cosign, one type of the log's keys is enough."""
        if not self.is_witnessed:
            return self.verify(signed)
        mine = {(key.name, key.key_id) for key in self.logs}
        types = {_kind(key) for key in self.logs if _signed(key, signed)}
        if not any((each.name, each.key_id) in mine for each in signed.signatures):
            return self.verify(signed)
        return replace(self, logs=tuple(k for k in self.logs if _kind(k) in types)).verify(signed)

    def require_quorum(self, signed: Note) -> None:
        """Raise LogPolicyError unless the quorum of witnesses has cosigned."""
        if self.quorum == NONE:
            return
        seen = {name for name, key in self.witnesses.items() if _signed(key, signed)}
        if not self._witnessed(self.quorum, seen):
            raise LogPolicyError(
                f"cosigned by {sorted(seen) or 'no witness'}, want the quorum {self.quorum!r}: ask "
                "the log for a checkpoint that more witnesses have cosigned"
            )

    @property
    def is_witnessed(self) -> bool:
        """Whether checkpoints must be cosigned by witnesses."""
        return self.quorum != NONE

    def is_quorum(self, seen: AbstractSet[str]) -> bool:
        """Whether these witnesses, by their names in the policy, are enough; never of `none`."""
        return self.quorum != NONE and self._witnessed(self.quorum, seen)

    def may_sign(self, key: LogKey, size: int) -> bool:
        """Whether a signature of this key counts on a checkpoint of this size."""
        return (known := self.ranges.get(key_name(key))) is None or size in known

    def _require_one(self, keys: Sequence[LogKey], signed: Note, size: int) -> None:
        having = [key for key in keys if _signed(key, signed)]  # all are asked: each may raise
        if any(self.may_sign(key, size) for key in having):
            return
        if having:
            sizes = str(self.ranges[key_name(having[0])]).replace(" ", " to ")
            raise LogPolicyError(
                f"a checkpoint of {size} entries, signed by the key {key_name(having[0])}, which "
                f"may sign sizes from {sizes} (not included): a retired key, or not yet active"
            )
        raise LogPolicyError(f"no signature of {keys[0].name!r} by a {_kind(keys[0])} key")

    def _witnessed(self, name: str, seen: AbstractSet[str]) -> bool:
        if (group := self.groups.get(name)) is None:
            return name in seen
        return sum(self._witnessed(each, seen) for each in group.members) >= group.k


def key_name(key: LogKey) -> str:
    """How the line `range` names a key: the beginning of its vkey."""
    return f"{key.name}+{key.key_id.hex()}"


def text(
    logs: Sequence[LogKey],
    witnesses: str = UNWITNESSED,
    maps: Sequence[MapKey] = (),
    ranges: Mapping[str, KeyRange] = MappingProxyType({}),
) -> str:
    """The text of a policy with these keys. `witnesses`: its witness, group, quorum lines."""
    limits = [f"range {key} {sizes}" for key, sizes in ranges.items()]
    lines = (*(f"log {key}" for key in logs), *limits, *map(str, maps))
    return "".join(f"{line}\n" for line in lines) + witnesses


def parse(data: bytes) -> LogPolicy:
    """Parse a policy. Raises LogPolicyError."""
    if _CONTROL.search(data) or not data.endswith(b"\n"):
        raise LogPolicyError("the last line has no newline, or there are other control characters")
    if len(data) > MAX_SIZE:
        raise LogPolicyError(f"more than {MAX_SIZE:,} bytes")
    lines = data.decode("utf-8", "surrogateescape").split("\n")[:-1]
    if len(lines) > MAX_LINES:
        raise LogPolicyError(f"{len(lines)} lines, want at most {MAX_LINES}")
    reader = _Reader()
    for number, line in enumerate(lines, 1):
        try:
            reader.read(_words(line))
        except (LogPolicyError, NoteError) as error:
            raise LogPolicyError(f"line {number}: {error}") from error
    return reader.policy()


class _Reader:
    """Parses a policy line by line. A line may only use names that earlier lines defined."""

    def __init__(self) -> None:
        self._logs: list[LogKey] = []
        self._witnesses: dict[str, CosignerKey] = {}
        self._groups: dict[str, WitnessGroup] = {}
        self._members: set[str] = set()
        self._quorum: str | None = None
        self._addresses: dict[str, str] = {}
        self._maps: dict[str, MapKey] = {}
        self._ranges: dict[str, KeyRange] = {}
        self._depth: dict[str, int] = {}

    def read(self, words: Sequence[str]) -> None:
        match words:
            case [] | ["#", *_]:
                pass
            case ["log", vkey] | ["log", vkey, _]:
                log = log_key(vkey)
                _require_new(log, [*self._logs, *self._witnesses.values()])
                self._logs.append(log)
            case ["witness", name, vkey, *address] if len(address) <= 1:
                cosigner = _cosigner_key(vkey)
                _require_new(cosigner, [*self._witnesses.values(), *self._logs])
                self._witnesses[self._free(name)] = cosigner
                self._addresses |= dict.fromkeys([name] * len(address), *address)
            case ["group", name, count, *members] if members:
                self._groups[self._free(name)] = self._group(name, count, members)
            case ["quorum", name] if self._quorum is None:
                self._quorum = name if name == NONE else self._known(name)
            case ["vrf", origin, key, since] if origin not in self._maps:
                self._maps[origin] = MapKey(origin, _key_bytes(key), _decimal(since))
            case ["range", key, first, end] if key not in self._ranges:
                self._ranges[self._log(key)] = _key_range(first, end)
            case _:
                what = "is no log, range, witness, group, vrf or (once) quorum line"
                raise LogPolicyError(f"{' '.join(words)[:80]!r} {what}")

    def policy(self) -> LogPolicy:
        if self._quorum is None:
            raise LogPolicyError("no quorum line: write `quorum none` to require no witness")
        known = self._witnesses, self._groups, self._quorum, self._addresses, self._maps
        return LogPolicy((*self._logs,), *known, self._ranges)

    def _group(self, name: str, count: str, members: Sequence[str]) -> WitnessGroup:
        for each in members:
            self._depth[name] = max(self._depth.get(name, 1), 1 + self._depth.get(each, 0))
            if self._known(each) in self._members:
                raise LogPolicyError(
                    f"{each!r} is listed as a member twice, so it would count twice"
                )
            self._members.add(each)
        if self._depth[name] > MAX_DEPTH:
            raise LogPolicyError(f"groups within groups, deeper than {MAX_DEPTH}")
        k = {"any": 1, "all": len(members)}.get(count) or _decimal(count)
        if not 1 <= k <= len(members):
            raise LogPolicyError(
                f"a group of {k} out of {len(members)} members, want 1 to {len(members)}"
            )
        return WitnessGroup(k, (*members,))

    def _log(self, name: str) -> str:
        if sum(key_name(key) == name for key in self._logs) != 1:
            raise LogPolicyError(f"{name[:80]!r} is not the one log key of an earlier line")
        return name

    def _known(self, name: str) -> str:
        if name not in self._witnesses and name not in self._groups:
            raise LogPolicyError(f"{name!r} is not a witness or group of an earlier line")
        return name

    def _free(self, name: str) -> str:
        if name == NONE or name in self._witnesses or name in self._groups:
            raise LogPolicyError(f"the name {name!r} is used twice, or is `none`")
        return name


def cosigned_at(key: CosignerKey, signed: Note) -> datetime:
    """When the witness with this key cosigned the note. Raises CosignatureError if it did not."""
    if isinstance(key, WitnessKey):
        return key.verify(signed)
    try:
        signed_note.verify(signed, [key])
    except NoteError as error:
        raise CosignatureError(f"no cosignature of {key.name} (ML-DSA-44): {error}") from error
    mine = (key.name, key.key_id)
    first = next(each for each in signed.signatures if (each.name, each.key_id) == mine)
    return cosignature.stated(int.from_bytes(first.signature[:_TIME_SIZE]), key.name)


def _require_new(key: LogKey | CosignerKey, known: Sequence[LogKey | CosignerKey]) -> None:
    if any(key.public == each.public for each in known):
        raise LogPolicyError(
            f"the key of {key.name!r} is listed twice: a log is no witness of itself"
        )


def _words(line: str) -> list[str]:
    words = [word for word in line.replace("\t", " ").split(" ") if word]
    return [] if words and words[0].startswith("#") else words


def _decimal(count: str) -> int:
    if not (count.isascii() and count.isdigit()) or str(int(count[:15])) != count:
        raise LogPolicyError(f"{count[:80]!r} is not a number (of members: any, all or a number)")
    return int(count)


def _key_range(first: str, end: str) -> KeyRange:
    sizes = KeyRange(_decimal(first), None if end == NO_END else _decimal(end))
    if sizes.end is not None and sizes.first >= sizes.end:
        raise LogPolicyError(f"no size is from {first} to {end}: the end is not included")
    return sizes


def _key_bytes(key: str) -> bytes:
    if len(key) != 2 * _KEY_SIZE or set(key) - set("0123456789abcdef"):
        raise LogPolicyError(f"{key[:80]!r} is not {2 * _KEY_SIZE} hexadecimal digits")
    return bytes.fromhex(key)


def log_key(vkey: str) -> LogKey:
    """Parse a vkey of a log. Raises NoteError."""
    return mldsa.verifier(vkey) if _type(vkey) == mldsa.TYPE else signed_note.verifier(vkey)


def _cosigner_key(vkey: str) -> CosignerKey:
    return mldsa.verifier(vkey) if _type(vkey) == mldsa.TYPE else cosignature.key(vkey)


def _type(vkey: str) -> int | None:
    _, material = signed_note.vkey_parts(vkey)
    return material[0] if material else None


def _kind(key: LogKey) -> str:
    return type(key).__name__


def _signed(key: LogKey | CosignerKey, signed: Note) -> bool:
    """Whether the key signed. Raises LogPolicyError if its signature is there but wrong."""
    matching = [s for s in signed.signatures if (s.name, s.key_id) == (key.name, key.key_id)]
    if not matching:
        return False
    if len(matching) > 1:
        raise LogPolicyError(f"{len(matching)} signatures of {key.name!r}, want 1")
    try:
        if isinstance(key, WitnessKey):
            key.verify(signed)
        else:
            key.verify(signed.text, matching[0])
    except (NoteError, CosignatureError) as error:
        raise LogPolicyError(str(error)) from error
    return True
