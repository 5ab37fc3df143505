"""HTTP responses of the gate: one body, a stream of chunks, or a problem (RFC 9457)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from gate.decision.decide import Reason
from gate.storage.deliveries import Delivery, Logged


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """A problem of RFC 9457. `detail` says what to do next."""

    type: str
    title: str
    status: int
    detail: str = ""
    reason: str = ""
    read_log: str = ""
    entry: int = -1


class Response(msgspec.Struct, frozen=True):  # one per request: faster than a dataclass
    status: int
    body: bytes
    content_type: bytes = b"application/json"
    retry_after: int = 0  # seconds; 0: no header
    logged: tuple[Logged, ...] = ()  # the entries that this answers
    allow: str = ""  # the methods of a 405; empty: no header
    headers: tuple[tuple[bytes, bytes], ...] = ()  # more headers


@dataclass(frozen=True, slots=True)
class Stream:
    """A streamed response with status 200; the sender closes `chunks`.

    `ended` notes what became of it.
    """

    chunks: Iterator[bytes]
    content_type: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()  # in addition to those of every response
    ended: Callable[[Delivery], None] | None = None
    logged: tuple[Logged, ...] = ()  # the entries that this answers


def evidence(*parts: tuple[Logged, int | None]) -> tuple[tuple[bytes, bytes], ...]:
    """The header that says where the entries of an answer stand in the read log.

    It is no part of the body, which is therefore the same whenever it is asked for in one state.
    `parts`: in the order of the answer, with the size of the consent ledger that each rests on.
    """
    return ((b"sovereign-evidence", ", ".join(_part(*each) for each in parts).encode()),)


def _part(logged: Logged, size: int | None) -> str:
    first, count = logged.entries.start, len(logged.entries)
    parts = [f"entry={first}", *([f"entries={count}"] if count > 1 else [])]
    parts += [] if size is None else [f"ledger_size={size}"]
    return f'{";".join(parts)};read_log="{logged.log}"'


class HttpError(Exception):
    """An error that is answered with a problem. `retry_after`: seconds to wait before a retry.

    `logged`: the entry of a refusal. `allow`: the methods of a 405.
    """

    def __init__(
        self,
        status: int,
        slug: str,
        title: str,
        detail: str,
        *,
        retry_after: int = 0,
        logged: Logged | None = None,
        allow: str = "",
        **more: Any,
    ) -> None:
        super().__init__(title)
        self.allow = allow
        self.problem = Problem(f"urn:sovereign:problem:{slug}", title, status, detail, **more)
        self.retry_after = retry_after
        self.logged = () if logged is None else (logged,)


def refused(
    reason: Reason,
    read_log: str,
    entry: int,
    logged: Logged | None,
    wait_s: int,
    purpose: str = "",
) -> HttpError:
    """The answer to a refused read. `wait_s`: until the quota has room again.

    `purpose`: of the scene's contract, if there is one.
    """
    about: dict[str, Any] = {"reason": reason, "read_log": read_log, "entry": entry}
    about["logged"] = logged
    if reason is Reason.QUOTA_EXCEEDED:
        detail = f"try again in {wait_s} s, or request less; see the quota of your service"
        return HttpError(429, "quota", "Quota exceeded", detail, retry_after=wait_s, **about)
    detail = "request fields and a shape that the scene's contract offers your service; see /docs"
    if reason is Reason.PURPOSE_DIFFERS and purpose:
        detail = f"state the purpose of the scene's contract, dpv:{purpose}, or none"
    return HttpError(403, "refused", "The contract does not allow this read", detail, **about)
