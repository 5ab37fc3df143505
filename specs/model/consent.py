"""What one customer allows in one scene, by the whole history.

Clauses G2, G3, G12, G15, G40 to G44, G137, G138, G140, G148, G149 of specs/gate.md.

A history is the consent log as JSON (specs/event.md), who was erased, and who has a data key.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from specs.model.contract import BEGINNING, INTEREST, Condition, Contract, Version, version

Json = dict[str, Any]
FOR_EVER = datetime.max.replace(tzinfo=UTC)
GIVES = frozenset({"granted", "imported"})


@dataclass(frozen=True)
class History:
    """`erased`: customers, each with the size of the log at that moment, in order.

    `keys`: whom the writer gave a data key, or None for every id that is asked about.
    """

    entries: Sequence[Json]
    erased: Sequence[tuple[str, int]] = ()
    keys: Collection[str] | None = None

    def of(self, subject: str) -> Iterator[tuple[int, Json]]:
        """The customer's instructions that can be read, each with its index (G13)."""
        since = max((size for name, size in self.erased if name == subject), default=0)
        for index, entry in enumerate(self.entries):
            if index >= since and entry["type"] == "instruction" and entry["subject"] == subject:
                yield index, entry

    def has_key(self, subject: str) -> bool:
        """From the writer, or by an instruction; after an erasure only so (specs/vault.md, V71)."""
        given = not self.was_erased(subject) and (self.keys is None or subject in self.keys)
        return given or any(self.of(subject))

    def was_erased(self, subject: str) -> bool:
        return any(name == subject for name, _ in self.erased)

    def silence_allows(self, subject: str) -> bool:
        """G138: silence is of customers only, and not of an id that was ever erased."""
        return self.has_key(subject) and not self.was_erased(subject)


@dataclass(frozen=True)
class Standing:
    """What the customer's acts on a scene amount to.

    `lapsed`: given under a version that no longer counts. `entry`: the index of the act that it
    rests on; None of somebody who said nothing.
    """

    fields: frozenset[str] = frozenset()
    end: datetime = FOR_EVER
    lapsed: bool = False
    entry: int | None = None

    def live(self, at: datetime) -> frozenset[str]:
        return self.fields if at < self.end and not self.lapsed else frozenset()


def standing(history: History, subject: str, contract: Contract) -> Standing:
    now = Standing(_unsaid(contract) if history.silence_allows(subject) else frozenset())
    for index, entry in history.of(subject):
        act = entry["act"]
        if act["type"] == "source-deleted" and not contract.locked:  # G148
            now = Standing(entry=index)
        if act.get("scene") != contract.id:
            continue
        if act["type"] in GIVES:
            now = _given(contract, _published(history, contract, index), time(entry["at"]), act)
            now = replace(now, entry=index)
        elif act["type"] == "withdrawn":
            gone = act.get("fields")
            whole = gone is None or now.entry is None  # G137: of who said nothing, the whole scene
            left = frozenset() if whole else now.fields - {*gone}
            now = replace(now, fields=left, entry=index)
        elif act["type"] == "limited":
            now = _limited(now, act, index)
    return now


def _limited(now: Standing, act: Json, index: int) -> Standing:
    """G149: of somebody who said nothing, the whole scene."""
    left = frozenset() if now.entry is None else now.fields & {*act["fields"]}
    end = min(now.end, time(act["until"])) if act["until"] else now.end
    return replace(now, fields=left, end=end, entry=index)


def _unsaid(contract: Contract) -> frozenset[str]:
    """G137, G140: what may be read of customers who said nothing."""
    if contract.basis != INTEREST or contract.consent_since != BEGINNING:
        return frozenset()
    return frozenset(n for n, each in contract.fields.items() if each.since == BEGINNING)


def _published(history: History, contract: Contract, upto: int) -> Version:
    """The version of the contract that was active at an entry."""
    active = BEGINNING
    for entry in history.entries[:upto]:
        if entry["type"] == "scene-published" and entry["scene"] == contract.id:
            active = version(entry["version"])
    return active


def _given(contract: Contract, active: Version, at: datetime, act: Json) -> Standing:
    """G2, G12, G15: a grant under the version that was active then."""
    known = contract.fields
    fields = frozenset(n for n in act["fields"] if n in known and active >= known[n].since)
    ends = [time(act["until"])] if act["until"] else []
    if contract.longest_days is not None:
        longest = at + timedelta(days=contract.longest_days)
        ends.append(longest.replace(second=0, microsecond=0))  # G11
    lapsed = active < contract.consent_since or active[0] > contract.version[0]
    return Standing(fields, min(ends, default=FOR_EVER), lapsed)


def frozen(history: History, subject: str, contract: Contract, at: datetime) -> bool:
    """G40 to G44: whether a condition of the customer freezes the scene."""
    armed = thresholds(history, subject, contract.id)
    return any(
        _stops(history, each, armed[each.template, each.signal], at)
        for each in contract.conditions
        if (each.template, each.signal) in armed
    )


def thresholds(history: History, subject: str, scene: str) -> dict[tuple[str, str], int]:
    """The customer's conditions in a scene, by template and signal."""
    armed: dict[tuple[str, str], int] = {}
    for _, entry in history.of(subject):
        act = entry["act"]
        if act["type"] == "source-deleted":
            armed.clear()
        if act.get("scene") != scene or not act["type"].startswith("trigger-"):
            continue
        if act["type"] == "trigger-set":
            armed[act["template"], act["signal"]] = act["threshold"]
        else:
            armed.pop((act["template"], act["signal"]), None)
    return armed


def _stops(history: History, condition: Condition, threshold: int, at: datetime) -> bool:
    """G41, G42: the last report from the contract's source counts, while it is fresh."""
    reports = [
        each
        for each in history.entries
        if each["type"] == "signal-reported"
        and (each["source"], each["signal"]) == (condition.source, condition.signal)
    ]
    if not reports:
        return True
    since = time(reports[-1]["at"]).replace(second=0)  # G11
    if not since <= at < since + timedelta(minutes=condition.fresh_minutes):
        return True
    value: int = reports[-1]["value"]
    if condition.template == "metric_below":
        return value < threshold
    if condition.template == "incident_open":
        return value != 0
    return value > threshold


def time(text: str) -> datetime:
    return datetime.fromisoformat(text)
