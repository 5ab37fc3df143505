"""Builds notices to the people responsible for a case, in every language, as CloudEvents.

    {"specversion": "1.0", "id": "9f2c…", "source": "//bank.example/consent",
     "type": "sovereign.case.opened", "subject": "case/7", "time": "2026-11-21T09:00:00Z",
     "sequence": "00000001", "datacontenttype": "application/json",
     "data": {"case": 7, "scene": "segmentation", "kind": "withdrawal", "count": 1,
              "customers": ["Z***"], "items": [], "services": ["analytics"],
              "fallback": "synthetic", "opened": "…", "due": "…", "responsible": "…",
              "loss": {"mean": 0.018, "p95": 0.052, "share": 0.1, "release": "segmentation-4f…"},
              "text": {"en": {"title": "…", "body": "…"}, "zh-CN": {"title": "…", "body": "…"}}}}

Every number comes from the case; its expected loss is measured. Customers' names are masked.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from typing import Any

from gate.contracts.odcs import LOCALES
from gate.contracts.scene import Fallback, Scene, SceneField
from steward.cases.case import Case
from steward.cases.case_store import stamp
from steward.cases.changes import ChangeKind
from steward.notify.masked_name import NOBODY

_ID_SIZE = 32  # hexadecimal digits: 128 bits


class NoticeType(StrEnum):
    """Why a notice is sent; the last part of the CloudEvent's type."""

    OPENED = "opened"
    GREW = "grew"  # more changes joined before the case's window closed
    OVERDUE = "overdue"


Words = Mapping[str, str]  # locale -> pattern

TITLES: Mapping[NoticeType, Words] = {
    NoticeType.OPENED: {
        "en": "Case {case}: {what} in “{scene}”, review by {due}",
        "zh-CN": "工单 {case}：“{scene}”发生{what}，请于 {due} 前复核",
    },
    NoticeType.GREW: {
        "en": "Case {case}: now {count} changes in “{scene}”, review by {due}",
        "zh-CN": "工单 {case}：“{scene}”的变更已增至 {count} 项，请于 {due} 前复核",
    },
    NoticeType.OVERDUE: {
        "en": "Case {case} is overdue: review “{scene}” by {due}",
        "zh-CN": "工单 {case} 已逾期：请于 {due} 前复核“{scene}”",
    },
}
WHAT: Mapping[ChangeKind, Words] = {
    ChangeKind.WITHDRAWAL: {"en": "consent withdrawn", "zh-CN": "授权撤回"},
    ChangeKind.NARROWING: {"en": "consent narrowed", "zh-CN": "授权缩减"},
    ChangeKind.EXPIRY: {"en": "consent expired", "zh-CN": "授权到期"},
    ChangeKind.FREEZE: {"en": "access frozen by a condition", "zh-CN": "访问因条件触发而冻结"},
    ChangeKind.MASS_EXPORT: {"en": "a mass export", "zh-CN": "批量导出"},
    ChangeKind.POLICY_MISMATCH: {"en": "a stop by the gate", "zh-CN": "闸门停用"},
}
HAPPENED: Mapping[ChangeKind, Words] = {
    ChangeKind.WITHDRAWAL: {
        "en": "{who} switched off {items} in “{scene}”.",
        "zh-CN": "{who}关闭了“{scene}”中的{items}。",
    },
    ChangeKind.NARROWING: {
        "en": "{who} agreed to less in “{scene}”: without {items}.",
        "zh-CN": "{who}缩小了“{scene}”的授权范围：不再包含{items}。",
    },
    ChangeKind.EXPIRY: {
        "en": "Consent to “{scene}” expired for {who}: {items}.",
        "zh-CN": "{who}对“{scene}”的授权已到期：{items}。",
    },
    ChangeKind.FREEZE: {
        "en": "A condition set on “{scene}” freezes access for {who}: {items}.",
        "zh-CN": "{who}为“{scene}”设定的条件冻结了访问：{items}。",
    },
    ChangeKind.MASS_EXPORT: {
        "en": "A service read the data of {who} for “{scene}” at once. The case says which.",
        "zh-CN": "某服务一次性读取了“{scene}”中{who}的数据。工单中载明是哪项服务。",
    },
    ChangeKind.POLICY_MISMATCH: {
        "en": "Compiled and full policy disagreed in “{scene}”; the gate answers nothing there "
        "until it is started again.",
        "zh-CN": "“{scene}”的编译策略与完整策略不一致；闸门重启前，该场景一律不予答复。",
    },
}
ALERTS = {
    ChangeKind.MASS_EXPORT,
    ChangeKind.POLICY_MISMATCH,
}  # about the gate itself, not about consent
LOOK: Words = {
    "en": "Please look into it by {due}. Responsible: {responsible}.",
    "zh-CN": "请于 {due} 前查明。责任人：{responsible}。",
}
WHO: Mapping[str, Words] = {
    "one": {"en": "customer {named}", "zh-CN": "客户 {named}"},
    "many": {"en": "{count} customers ({named})", "zh-CN": "{count} 位客户（{named}）"},
    "more": {
        "en": "{count} customers ({named} and others)",
        "zh-CN": "{count} 位客户（{named} 等）",
    },
    "unnamed": {"en": "{count} customers", "zh-CN": "{count} 位客户"},
}
ITEMS: Words = {"en": "everything", "zh-CN": "全部数据项"}
COMMA: Words = {"en": ", ", "zh-CN": "、"}
FALLBACKS: Mapping[Fallback, Words] = {
    Fallback.SYNTHETIC: {
        "en": "From now on {services} get synthetic values, marked as such, in the same schema.",
        "zh-CN": "现行替代方案：{services}改用带标记的合成数据，数据结构不变。",
    },
    Fallback.GENERALISE: {
        "en": "From now on {services} get {coarser} where the customer grants it, else no value.",
        "zh-CN": "现行替代方案：在客户授权的前提下，{services}改用{coarser}；否则不提供。",
    },
    Fallback.WITHHOLD: {
        "en": "From now on {services} get no value, in the same schema.",
        "zh-CN": "现行替代方案：不再向{services}提供数值，数据结构不变。",
    },
}
COARSER: Words = {"en": "the coarser item", "zh-CN": "概括后的数据项"}
LOSSES: Mapping[str, Words] = {
    "measured": {
        "en": "Expected error of the scene's segments with {share} of its customers gone: {mean} "
        "on average, at most {p95} in 95 of 100 (measured on {release}).",
        "zh-CN": "该场景 {share} 的客户退出后，分组统计的预期误差：平均 {mean}，"
        "95% 的分组不超过 {p95}（依据 {release} 实测）。",
    },
    "unmeasured": {
        "en": "Expected loss: not measured, as no synthetic release answers in this scene.",
        "zh-CN": "预期损失：未测量，该场景没有合成数据版本。",
    },
}
REVIEW: Mapping[NoticeType, Words] = {
    NoticeType.OPENED: {
        "en": "Please review by hand by {due} whether these uses still hold on the fallback: "
        "{services}. Responsible: {responsible}.",
        "zh-CN": "请于 {due} 前人工复核：{services}的业务在替代方案下是否仍然可靠。"
        "责任人：{responsible}。",
    },
    NoticeType.GREW: {
        "en": "The case gathers no further changes. Please review by hand by {due}. "
        "Responsible: {responsible}.",
        "zh-CN": "本工单不再合并新的变更。请于 {due} 前人工复核。责任人：{responsible}。",
    },
    NoticeType.OVERDUE: {
        "en": "Nobody finished the review in time. It passes to you: please finish it by {due}. "
        "Responsible: {responsible}.",
        "zh-CN": "复核未按时完成，现转交给您：请于 {due} 前完成。责任人：{responsible}。",
    },
}
ROLES: Mapping[str, Words] = {
    "account-manager": {"en": "account manager", "zh-CN": "客户经理"},
    "data-protection-officer": {"en": "data protection officer", "zh-CN": "数据保护官"},
}


def event(
    type_: NoticeType, case: Case, scene: Scene, source: str, at: datetime, sequence: int
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
            "data": _data(type_, case, scene),
        }
    )


def identified(body: bytes, channel: str) -> tuple[str, bytes]:
    """The notice's id on a channel, and the body with this id; deterministic."""
    id_ = sha256(channel.encode() + b"\0" + body).hexdigest()[:_ID_SIZE]
    return id_, _json({"id": id_, **json.loads(body)})


def unidentified(whole: bytes) -> bytes:
    """The inverse of `identified`: the body without an id."""
    return _json({name: value for name, value in json.loads(whole).items() if name != "id"})


def text(type_: NoticeType, case: Case, scene: Scene, locale: str) -> dict[str, str]:
    """Title and body in one language."""
    facts = _facts(case, scene, locale)
    sentences = [HAPPENED[case.kind][locale].format_map(facts)]
    if case.kind in ALERTS:
        sentences.append(LOOK[locale].format_map(facts))
    else:
        sentences += [
            FALLBACKS[case.fallback][locale].format_map(facts),
            _loss(case, locale),
            REVIEW[type_][locale].format_map(facts),
        ]
    body = "\n".join(each[:1].upper() + each[1:] for each in sentences)
    return {"title": TITLES[type_][locale].format_map(facts), "body": body}


def _data(type_: NoticeType, case: Case, scene: Scene) -> dict[str, Any]:
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
        "text": {locale: text(type_, case, scene, locale) for locale in LOCALES},
    }


def _facts(case: Case, scene: Scene, locale: str) -> dict[str, object]:
    fields = [scene.fields[each] for each in case.fields if each in scene.fields]
    comma = COMMA[locale]
    return {
        "case": case.id,
        "count": case.count,
        "scene": scene.title[locale],
        "what": WHAT[case.kind][locale],
        "who": _who(case, locale),
        "items": comma.join(each.item.title[locale] for each in fields) or ITEMS[locale],
        "services": comma.join(each.title[locale] for each in scene.services),
        "coarser": comma.join(_coarser(scene, fields, locale)) or COARSER[locale],
        "due": f"{case.due:%Y-%m-%d %H:%M} UTC",
        "responsible": ROLES.get(case.responsible, {}).get(locale, case.responsible),
    }


def _who(case: Case, locale: str) -> str:
    names = [each for each in case.customers if each != NOBODY]
    named = COMMA[locale].join(names or [NOBODY])
    if case.count == 1:
        form = "one"
    elif not names:
        form = "unnamed"
    else:
        form = "many" if len(names) == case.count else "more"
    return WHO[form][locale].format(named=named, count=case.count)


def _coarser(scene: Scene, lost: list[SceneField], locale: str) -> list[str]:
    """The coarser items that replace the lost ones, or all items if all are lost."""
    by = [each.generalised_by for each in lost or scene.fields.values()]
    return [scene.fields[name].item.title[locale] for name in by if name]


def _loss(case: Case, locale: str) -> str:
    if (loss := case.loss) is None:
        return LOSSES["unmeasured"][locale]
    figures = {"mean": _percent(loss.mean), "p95": _percent(loss.p95)}
    share = _percent(loss.share)
    return LOSSES["measured"][locale].format(**figures, share=share, release=loss.release)


def _percent(share: float) -> str:
    """Three significant digits: 1.84 %, 0.00312 %."""
    return f"{float(f'{share * 100:.3g}'):f}".rstrip("0").rstrip(".") + " %"


def _json(tree: Mapping[str, Any]) -> bytes:
    return json.dumps(tree, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()
