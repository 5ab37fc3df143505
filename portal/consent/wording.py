"""The wording that a customer saw when deciding, as bytes for the digest in the instruction.

About a scene:

    {"alternative":"…","consequence":"…","days":730,"items":{"age":"age groups"},"locale":"en",
     "scene":"segmentation","services":["Analytics team"],"summary":"…","title":"…",
     "triggers":[],"version":"1.0.0"}

Of a scene on legitimate interest there is no longest duration: in place of `days` stands `basis`,
the sentence that says so.

About the customer's keys:

    {"act":"key-enrolled","locale":"en","text":"…","title":"…"}

UTF-8, sorted keys, no whitespace. The instruction contains the SHA-256 of these bytes
(`ledger.events.envelope.Wording`). Every button carries it too, so that nobody decides on wording
that has changed.
"""

import json
from collections.abc import Mapping
from hashlib import sha256

from gate.contracts.scene import Scene
from ledger.events.envelope import Wording
from portal.web.i18n import Words

INTEREST = "card.interest"  # message key


def shown(scene: Scene, spoken: Words) -> bytes:
    """All wording about `scene` on the page in this language, as canonical JSON."""
    of = spoken.of
    words = {
        "locale": spoken.tag,
        "scene": scene.id,
        "version": scene.version,
        "title": of(scene.title),
        "summary": of(scene.summary),
        "consequence": of(scene.consequence),
        "alternative": of(scene.alternative),
        "items": {name: of(field.use) for name, field in scene.fields.items()},
        "services": [of(service.title) for service in scene.services],
        "triggers": [of(trigger.title) for trigger in scene.triggers],
    }
    if scene.objectable:
        return _canonical(words | {"basis": spoken.plain(INTEREST)})
    return _canonical(words | {"days": scene.longest.days})


def shown_of_act(act: str, spoken: Words) -> bytes:
    """All wording about an act on keys on the page, as canonical JSON."""
    words = {part: spoken.plain(f"sign.{act}.{part}") for part in ("title", "text")}
    return _canonical(words | {"act": act, "locale": spoken.tag})


def wording(scene: Scene, spoken: Words) -> Wording:
    return Wording(spoken.tag, sha256(shown(scene, spoken)).digest())


def of_act(act: str, spoken: Words) -> Wording:
    return Wording(spoken.tag, sha256(shown_of_act(act, spoken)).digest())


def act_token(act: str, spoken: Words) -> str:
    return _token(of_act(act, spoken))


def read_act_token(text: str, act: str, words: Mapping[str, Words]) -> Wording | None:
    """The wording that a button carried, if it is still current; else None."""
    current = {act_token(act, spoken): of_act(act, spoken) for spoken in words.values()}
    return current.get(text)


def token(scene: Scene, spoken: Words) -> str:
    """The token that a button carries: `en.5f2a…`."""
    return _token(wording(scene, spoken))


def read_token(text: str, scene: Scene, words: Mapping[str, Words]) -> Wording | None:
    """The wording that a button carried, if it is still the scene's; else None."""
    current = {token(scene, spoken): wording(scene, spoken) for spoken in words.values()}
    return current.get(text)


def _token(words: Wording) -> str:
    return f"{words.locale}.{words.digest.hex()}"


def _canonical(words: Mapping[str, object]) -> bytes:
    return json.dumps(words, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
