"""The words a customer saw when deciding, as bytes, so that the instruction can name them.

About a scene:

    {"alternative":"…","consequence":"…","days":730,"items":{"age":"age groups"},"locale":"en",
     "scene":"segmentation","services":["Analytics team"],"summary":"…","title":"…",
     "triggers":[],"version":"1.0.0"}

About the customer's keys:

    {"act":"key-enrolled","locale":"en","text":"…","title":"…"}

UTF-8, keys sorted, no blanks between them. The SHA-256 of these bytes stands in the instruction:
`ledger.events.envelope.Wording`. A button carries it too, so that nobody decides on words that
have changed.
"""

import json
from collections.abc import Mapping
from hashlib import sha256

from gate.contracts.scene import LOCALES, Scene
from ledger.events.envelope import Wording
from portal.web.i18n import Words


def shown(scene: Scene, locale: str) -> bytes:
    """Every word about `scene` that stands on the page in `locale`."""
    said = {
        "locale": locale,
        "scene": scene.id,
        "version": scene.version,
        "title": scene.title[locale],
        "summary": scene.summary[locale],
        "consequence": scene.consequence[locale],
        "alternative": scene.alternative[locale],
        "days": scene.longest.days,
        "items": {name: field.use[locale] for name, field in scene.fields.items()},
        "services": [service.title[locale] for service in scene.services],
        "triggers": [trigger.title[locale] for trigger in scene.triggers],
    }
    return _canonical(said)


def shown_of_act(act: str, spoken: Words) -> bytes:
    """Every word about an act on keys that stands on the page."""
    said = {part: spoken.plain(f"sign.{act}.{part}") for part in ("title", "text")}
    return _canonical(said | {"act": act, "locale": spoken.tag})


def wording(scene: Scene, locale: str) -> Wording:
    return Wording(locale, sha256(shown(scene, locale)).digest())


def of_act(act: str, spoken: Words) -> Wording:
    return Wording(spoken.tag, sha256(shown_of_act(act, spoken)).digest())


def act_token(act: str, spoken: Words) -> str:
    return _token(of_act(act, spoken))


def read_act_token(text: str, act: str, words: Mapping[str, Words]) -> Wording | None:
    """The wording a button carried, if those are still the words about the act."""
    current = {act_token(act, spoken): of_act(act, spoken) for spoken in words.values()}
    return current.get(text)


def token(scene: Scene, locale: str) -> str:
    """What a button carries: `en.5f2a…`."""
    return _token(wording(scene, locale))


def read_token(text: str, scene: Scene) -> Wording | None:
    """The wording a button carried, if those are still the scene's words."""
    current = {token(scene, locale): wording(scene, locale) for locale in LOCALES}
    return current.get(text)


def _token(said: Wording) -> str:
    return f"{said.locale}.{said.digest.hex()}"


def _canonical(said: Mapping[str, object]) -> bytes:
    return json.dumps(said, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
