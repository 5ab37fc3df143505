"""The words a customer saw when deciding, as bytes, so that the instruction can name them.

    {"alternative":"…","consequence":"…","days":730,"items":{"age":"age groups"},"locale":"en",
     "scene":"segmentation","services":["Analytics team"],"summary":"…","title":"…",
     "triggers":[],"version":"1.0.0"}

UTF-8, keys sorted, no blanks between them. The SHA-256 of these bytes stands in the instruction:
`ledger.event.Wording`. A button carries it too, so that nobody decides on words that have changed.
"""

import json
from hashlib import sha256

from gate.contract import LOCALES, Scene
from ledger.event import Wording


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
    return json.dumps(said, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def wording(scene: Scene, locale: str) -> Wording:
    return Wording(locale, sha256(shown(scene, locale)).digest())


def token(scene: Scene, locale: str) -> str:
    """What a button carries: `en.5f2a…`."""
    said = wording(scene, locale)
    return f"{said.locale}.{said.digest.hex()}"


def read_token(text: str, scene: Scene) -> Wording | None:
    """The wording a button carried, if those are still the scene's words."""
    current = {token(scene, locale): wording(scene, locale) for locale in LOCALES}
    return current.get(text)
