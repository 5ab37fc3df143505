"""The words that a customer saw when deciding, found by the digest in the instruction.

A text is the canonical JSON of portal.consent.wording, or of a browser's signal (gpc.py). It is
shown in the language in which it was seen. Words that were seen elsewhere (imports), or under a
version that did not store them, are known by their digest only.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gate.contracts import odcs
from gate.contracts.scene import Scene
from ledger.events.acts import KeyAct
from ledger.events.envelope import Instruction
from ledger.reader import RecordedEvent
from portal.consent import departure, gpc, history, returning, shown_version, wording
from portal.consent.flow import recipients
from portal.operations.wiring import Product
from portal.storage.words import WordStore
from portal.web.i18n import Words

ACTS = (
    *(str(each.__struct_config__.tag) for each in KeyAct.__args__),
    *history.OF_THE_COMPANY,
    departure.ACT,
    returning.ACT,
    recipients.ACT,
)


@dataclass(frozen=True, slots=True)
class SeenPart:
    """A labelled part of the words. `label`: a message key."""

    label: str
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SeenWords:
    """The words of one instruction. Without a title the text is not stored here."""

    locale: str
    digest: str
    title: str = ""
    text: str = ""
    parts: tuple[SeenPart, ...] = ()
    days: int | None = None
    version: str = ""


def keep(product: Product, catalogues: Mapping[str, Words]) -> None:
    """Store every text that pages may show, and those of earlier versions of the contracts."""
    WordStore(product.home).keep(_texts(product, catalogues))


def of(
    recorded: Iterable[RecordedEvent], store: WordStore, scenes: Mapping[str, Scene]
) -> dict[int, SeenWords]:
    """The words of each instruction, by the index of its entry."""
    said = {e.index: e.event.wording for e in recorded if isinstance(e.event, Instruction)}
    texts = store.find(each.digest for each in said.values())
    return {
        index: _seen(texts.get(each.digest), each.locale, each.digest.hex(), scenes)
        for index, each in said.items()
    }


def _texts(product: Product, catalogues: Mapping[str, Words]) -> Iterator[bytes]:
    scenes = product.scenes
    current = {each.digest for each in scenes.values()}
    earlier = shown_version.archived(product.home, without=current)
    for scene in (*scenes.values(), *earlier):
        yield from (wording.shown(scene, spoken) for spoken in catalogues.values())
    for spoken in catalogues.values():
        yield from (gpc.shown(scene, spoken.tag) for scene in scenes)
        yield from (wording.shown_of_act(act, spoken) for act in ACTS)


def _seen(text: bytes | None, locale: str, digest: str, scenes: Mapping[str, Scene]) -> SeenWords:
    if text is None:
        return SeenWords(locale, digest)
    words: dict[str, Any] = json.loads(text)
    if "signal" in words:
        return SeenWords(locale, digest, words["signal"])
    title, summary = words["title"], words.get("summary", words.get("text", ""))
    if "scene" not in words:
        return SeenWords(locale, digest, title, summary)
    scene = scenes.get(words["scene"])
    parts = (
        SeenPart("card.consequence", (words["consequence"],)),
        SeenPart("card.alternative", (words["alternative"],)),
        SeenPart("scene.basis", tuple(words[each] for each in ("basis",) if each in words)),
        SeenPart("scene.items", tuple(_items(words["items"], scene, locale))),
        SeenPart("scene.services", tuple(words["services"])),
        SeenPart("scene.conditions", tuple(words["triggers"])),
    )
    shown = tuple(part for part in parts if part.texts)
    return SeenWords(locale, digest, title, summary, shown, words.get("days"), words["version"])


def _items(uses: Mapping[str, str], scene: Scene | None, locale: str) -> Iterator[str]:
    """Each item with its use; by its title, or by its name if the scene has it no more."""
    for name, use in uses.items():
        field = scene.fields.get(name) if scene else None
        yield f"{odcs.spoken(field.item.title, locale) if field else name} – {use}"
