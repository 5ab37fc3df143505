"""Client for witnesses: have a log's checkpoint cosigned, and detect a rolled-back log.

A witness remembers the largest tree it has seen. A log that is smaller was restored from an old
copy, and appending to it would fork it, so nothing more is signed. See specs/witness.md, "Asking".
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from ledger.tlog import checkpoint, signed_note
from ledger.tlog.cosignature import CosignatureError, WitnessKey
from ledger.tlog.merkle import Hash
from ledger.tlog.policy import LogPolicy, LogPolicyError
from ledger.tlog.signed_note import Note, NoteError
from ledger.witness import witness
from ledger.witness.witness import Reply, Submission

TIMEOUT_S = 10
_CONFLICT = 409
_OK = 200
_MAX_REPLY_BYTES = 1 << 16  # bytes

Post = Callable[[bytes], Reply]


class WitnessUnavailableError(Exception):
    """The witness did not answer, or not according to the protocol."""


class RolledBackError(Exception):
    """A witness has seen more entries of this log, or a different history. Do not sign."""

    def __init__(self, name: str, remembered: int, have: int, reason: str) -> None:
        super().__init__(
            f"the witness {name} has seen {remembered} entries, this log has {have}: {reason}. "
            "Nothing was signed: restore the newest database and start again"
        )
        self.witness, self.remembered, self.have = name, remembered, have


class QuorumError(Exception):
    """Fewer witnesses have cosigned than the policy requires."""

    def __init__(self, count: int, wanted: str, reasons: Sequence[str]) -> None:
        super().__init__(f"{count} cosignatures, want {wanted}: {'; '.join(reasons)}")
        self.count, self.wanted = count, wanted


class Provable(Protocol):
    """The part of a log that the witness client needs."""

    def checkpoint(self) -> str: ...

    def prove_consistency(self, old: int, new: int | None = None) -> list[Hash]: ...


@dataclass(frozen=True, slots=True)
class AskedWitness:
    """A witness of a log: its key, and how to post a submission to it."""

    key: WitnessKey
    post: Post

    @classmethod
    def at(cls, url: str, key: WitnessKey) -> "AskedWitness":
        """The witness whose submission prefix is `url`."""
        return cls(key, _http(f"{url.rstrip('/')}/add-checkpoint"))

    def cosign(self, log: Provable, old: int = 0) -> signed_note.Signature:
        """Get the witness's cosignature on the log's newest checkpoint.

        `old`: the size that the witness is assumed to have seen; it corrects a wrong one. Raises
        RolledBackError, WitnessUnavailableError, CosignatureError.
        """
        signed = signed_note.parse(log.checkpoint())
        reply = self._submit(log, signed, old)
        if reply.status == _CONFLICT:
            remembered = self._remembered(reply, signed)
            if remembered != old:
                reply = self._submit(log, signed, remembered)
        return self._accept(signed, reply)

    def _submit(self, log: Provable, signed: Note, old: int) -> Reply:
        head = checkpoint.parse(signed.text)
        proof = log.prove_consistency(old, head.size) if 0 < old < head.size else []
        return self.post(str(Submission(old, tuple(proof), signed, head)).encode())

    def _remembered(self, reply: Reply, signed: Note) -> int:
        have = checkpoint.parse(signed.text).size
        text = reply.body.removesuffix("\n")
        if reply.content_type != witness.SIZE or not (text.isascii() and text.isdigit()):
            raise WitnessUnavailableError(f"{self.key.name} answered 409 without a size")
        if int(text) > have:
            raise RolledBackError(self.key.name, int(text), have, "entries are missing here")
        return int(text)

    def _accept(self, signed: Note, reply: Reply) -> signed_note.Signature:
        have = checkpoint.parse(signed.text).size
        if reply.status in (_CONFLICT, 422):
            raise RolledBackError(self.key.name, have, have, "it has seen a different history")
        if reply.status != _OK:
            answer = f"{reply.status} {reply.body.strip()[:200]}"
            raise WitnessUnavailableError(f"{self.key.name} answered {answer}")
        return self._find(signed, reply.body)

    def _find(self, signed: Note, lines: str) -> signed_note.Signature:
        """The witness's cosignature among the returned lines; other lines are ignored."""
        try:
            answered = signed_note.parse(f"{signed.text}\n{lines}")
        except NoteError as error:
            raise WitnessUnavailableError(
                f"{self.key.name} returned no signature: {error}"
            ) from error
        self.key.verify(answered)
        mine = (self.key.name, self.key.key_id)
        return next(s for s in answered.signatures if (s.name, s.key_id) == mine)


_NO_POLICY = LogPolicy(())


@dataclass(frozen=True, slots=True)
class Witnesses:
    """The witnesses of a log, and the policy that says how many must cosign. May be empty."""

    asked: tuple[AskedWitness, ...] = ()
    policy: LogPolicy = _NO_POLICY

    @classmethod
    def of(cls, policy: LogPolicy) -> "Witnesses":
        """The witnesses whose addresses a tlog-policy gives."""
        keys = [(policy.witnesses[name], url) for name, url in policy.addresses.items()]
        asked = tuple(AskedWitness.at(url, key) for key, url in keys if isinstance(key, WitnessKey))
        return cls(asked, policy)

    def cosigned(self, log: Provable) -> str:
        """The newest checkpoint, with the cosignatures that the policy requires.

        Call it before a log signs anything new after a start. Raises RolledBackError if any witness
        has seen more than this log has, QuorumError if too few cosigned.
        """
        signed, reasons = _cosigned(log, self.asked)
        try:
            self.policy.require_quorum(signed)
        except LogPolicyError as error:
            raise QuorumError(len(self.asked) - len(reasons), str(error), reasons) from error
        return str(signed)


NO_WITNESSES = Witnesses()


def cosigned(log: Provable, witnesses: Sequence[AskedWitness], quorum: int) -> str:
    """The newest checkpoint with at least `quorum` cosignatures, asked for in parallel.

    Raises RolledBackError if any witness has seen what this log has not, QuorumError if too few
    cosigned.
    """
    signed, reasons = _cosigned(log, witnesses)
    if (count := len(witnesses) - len(reasons)) < quorum:
        raise QuorumError(count, str(quorum), reasons)
    return str(signed)


def _cosigned(log: Provable, witnesses: Sequence[AskedWitness]) -> tuple[Note, list[str]]:
    """The newest checkpoint with all cosignatures, and the reasons for missing ones."""
    signed = signed_note.parse(log.checkpoint())
    frozen = FrozenLog(str(signed), log)
    with ThreadPoolExecutor(max(1, len(witnesses))) as pool:
        answers = list(pool.map(lambda each: _answer(each, frozen), witnesses))
    signatures = [each for each in answers if isinstance(each, signed_note.Signature)]
    cosigned = Note(signed.text, (*signed.signatures, *signatures))
    return cosigned, [each for each in answers if isinstance(each, str)]


@dataclass(frozen=True, slots=True)
class FrozenLog:
    """A log at one checkpoint, unaffected by entries that are appended later."""

    signed: str
    log: Provable

    def checkpoint(self) -> str:
        return self.signed

    def prove_consistency(self, old: int, new: int | None = None) -> list[Hash]:
        return self.log.prove_consistency(old, new)


def _answer(asked: AskedWitness, log: Provable) -> signed_note.Signature | str:
    """A cosignature, or the reason why there is none. Raises RolledBackError."""
    try:
        return asked.cosign(log)
    except (WitnessUnavailableError, CosignatureError) as error:
        return str(error)


def _http(url: str) -> Post:
    if urlsplit(url).scheme not in ("http", "https"):
        raise ValueError(f"the witness's URL is {url!r}, want http:// or https://")

    def post(body: bytes) -> Reply:
        request = Request(url, body, {"content-type": witness.TEXT}, method="POST")  # noqa: S310 (scheme checked above)
        try:
            with urlopen(request, timeout=TIMEOUT_S) as response:  # noqa: S310 (the same)
                return _reply(response.status, response.read(_MAX_REPLY_BYTES), response.headers)
        except HTTPError as error:
            with error:
                return _reply(error.code, error.read(_MAX_REPLY_BYTES), error.headers)
        except (URLError, OSError) as error:
            raise WitnessUnavailableError(f"{url}: {error}") from error

    return post


def _reply(status: int, body: bytes, headers: object) -> Reply:
    kind = getattr(headers, "get", dict[str, str]().get)("content-type") or ""
    return Reply(status, body.decode(errors="replace"), kind)
