"""Builds notices to the people responsible for a case, in every language, as CloudEvents.

    {"specversion": "1.0", "id": "9f2c…", "source": "//bank.example/consent",
     "type": "sovereign.case.opened", "subject": "case/7", "time": "2026-11-21T09:00:00Z",
     "sequence": "00000001", "datacontenttype": "application/json",
     "data": {"case": 7, "scene": "segmentation", "kind": "withdrawal", "count": 1,
              "customers": ["Z***"], "items": [], "services": ["analytics"],
              "fallback": "synthetic", "opened": "…", "due": "…", "responsible": "…",
              "loss": {"mean": 0.018, "p95": 0.052, "share": 0.1, "release": "segmentation-4f…"},
              "languages": ["en", "zh-CN"],
              "text": {"en": {"title": "…", "body": "…"}, "zh-CN": {"title": "…", "body": "…"}}}}

Every number comes from the case; its expected loss is measured. Customers' names are masked.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from typing import Any

from babel.numbers import format_decimal

from gate.contracts import odcs
from gate.contracts.scene import Scene, SceneField
from steward.cases.case import Case
from steward.cases.case_store import stamp
from steward.cases.changes import ChangeKind
from steward.language.catalogue import Catalogue
from steward.notify.masked_name import NOBODY

_ID_SIZE = 32  # hexadecimal digits: 128 bits


class NoticeType(StrEnum):
    """Why a notice is sent; the last part of the CloudEvent's type."""

    OPENED = "opened"
    GREW = "grew"  # more changes joined before the case's window closed
    OVERDUE = "overdue"


ALERTS = {
    ChangeKind.MASS_EXPORT,
    ChangeKind.POLICY_MISMATCH,
}  # about the gate itself, not about consent
SIGNIFICANT = 3  # digits of a percentage


def event(
    type_: NoticeType,
    case: Case,
    scene: Scene,
    source: str,
    at: datetime,
    sequence: int,
    languages: Mapping[str, Catalogue],
) -> bytes:
    """The CloudEvent without its id, as sorted JSON (see `identified`). `source`: a log origin."""
    return _json(
        {
            "specversion": "1.0",
            "source": f"//{source}",
            "type": f"sovereign.case.{type_}",
            "subject": f"case/{case.id}",
            "time": stamp(at),
            "sequence": f"{sequence:08}",
            "datacontenttype": "application/json",
            "data": _data(type_, case, scene, languages),
        }
    )


def identified(body: bytes, channel: str) -> tuple[str, bytes]:
    """The notice's id on a channel, and the body with this id; deterministic."""
    id_ = sha256(channel.encode() + b"\0" + body).hexdigest()[:_ID_SIZE]
    return id_, _json({"id": id_, **json.loads(body)})


def unidentified(whole: bytes) -> bytes:
    """The inverse of `identified`: the body without an id."""
    return _json({name: value for name, value in json.loads(whole).items() if name != "id"})


def text(type_: NoticeType, case: Case, scene: Scene, spoken: Catalogue) -> dict[str, str]:
    """Title and body in one language."""
    facts = _facts(case, scene, spoken)
    parts = [f"happened.{case.kind}"]
    if case.kind in ALERTS:
        parts.append("look")
    else:
        parts += [f"fallback.{case.fallback}", _loss(case, spoken, facts), f"review.{type_}"]
    sentences = [_say(spoken, each, facts) for each in parts]
    body = "\n".join(each[:1].upper() + each[1:] for each in sentences)
    return {"title": _say(spoken, f"title.{type_}", facts), "body": body}


def _say(spoken: Catalogue, key: str, facts: Mapping[str, object]) -> str:
    return spoken.pattern(f"case-notice.{key}").format_map(facts)


def _data(
    type_: NoticeType, case: Case, scene: Scene, languages: Mapping[str, Catalogue]
) -> dict[str, Any]:
    loss = case.loss
    return {
        "case": case.id,
        "scene": case.scene,
        "kind": case.kind,
        "count": case.count,
        "customers": [*case.customers],
        "items": [*case.fields],
        "services": [each.id for each in scene.services],
        "fallback": case.fallback,
        "loss": json.loads(loss.text()) if loss else None,
        "opened": stamp(case.opened),
        "due": stamp(case.due),
        "responsible": case.responsible,
        "languages": [*languages],
        "text": {tag: text(type_, case, scene, spoken) for tag, spoken in languages.items()},
    }


def _facts(case: Case, scene: Scene, spoken: Catalogue) -> dict[str, object]:
    fields = [scene.fields[each] for each in case.fields if each in scene.fields]
    comma, tag = spoken.plain("list.comma"), spoken.tag
    items = comma.join(odcs.spoken(each.item.title, tag) for each in fields)
    role = f"role.{case.responsible}"
    return {
        "case": case.id,
        "count": case.count,
        "scene": odcs.spoken(scene.title, tag),
        "what": spoken.plain(f"case-notice.what.{case.kind}"),
        "who": _who(case, spoken),
        "items": items or spoken.plain("case-notice.items"),
        "services": comma.join(odcs.spoken(each.title, tag) for each in scene.services),
        "coarser": comma.join(_coarser(scene, fields, tag)) or spoken.plain("case-notice.coarser"),
        "due": f"{case.due:%Y-%m-%d %H:%M} UTC",
        "responsible": spoken.plain(role) if role in spoken.messages else case.responsible,
    }


def _who(case: Case, spoken: Catalogue) -> str:
    names = [each for each in case.customers if each != NOBODY]
    named = spoken.plain("list.comma").join(names or [NOBODY])
    if case.count == 1:
        form = "one"
    elif not names:
        form = "unnamed"
    else:
        form = "many" if len(names) == case.count else "more"
    return _say(spoken, f"who.{form}", {"named": named, "count": case.count})


def _coarser(scene: Scene, lost: list[SceneField], tag: str) -> list[str]:
    """The coarser items that replace the lost ones, or all items if all are lost."""
    by = [each.generalised_by for each in lost or scene.fields.values()]
    return [odcs.spoken(scene.fields[name].item.title, tag) for name in by if name]


def _loss(case: Case, spoken: Catalogue, facts: dict[str, object]) -> str:
    """The message about the expected loss; adds its figures to the facts."""
    if (loss := case.loss) is None:
        return "loss.unmeasured"
    for name in ("mean", "p95", "share"):
        facts[name] = _percent(getattr(loss, name), spoken)
    facts["release"] = loss.release
    return "loss.measured"


def _percent(share: float, spoken: Catalogue) -> str:
    """Three significant digits: 1.84 %, 0.00312 %; in German 1,84 %."""
    rounded = float(f"{share * 100:.{SIGNIFICANT}g}")
    return format_decimal(rounded, "0.##########", locale=spoken.locale) + " %"


def _json(tree: Mapping[str, Any]) -> bytes:
    return json.dumps(tree, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()
