"""How a company's pages look: its name, its logo, and one colour for light and for dark pages.

Colours carry text: each must have the contrast that WCAG 2.2 wants (1.4.3, 4.5 to 1) with every
background that pages have, or the folder is refused.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree  # noqa: ICN001 - its own name

LIGHT = ("#faf8f4", "#ffffff", "#f2efe8", "#fbf1e2")  # the backgrounds of pages
DARK = ("#14171a", "#1c2024", "#23282d", "#2d2519")
INKS = ("#ffffff", "#10211f")  # what is written on the colour: the one of more contrast
ENOUGH = 4.5
LOGO_BYTES = 100_000
LOGO_TYPES: Mapping[str, str] = {".png": "image/png", ".svg": "image/svg+xml"}
_LINEAR = 0.04045  # up to here sRGB is linear
_COLOUR = re.compile(r"#[0-9a-f]{6}")
_PNG = b"\x89PNG\r\n\x1a\n"
_SVG = "{http://www.w3.org/2000/svg}"
_SHAPES = """
    svg g path circle ellipse rect line polyline polygon title desc defs linearGradient
    radialGradient stop clipPath
"""
_ATTRIBUTES = """
    viewBox width height x y x1 y1 x2 y2 cx cy r rx ry fx fy d points transform id class offset
    fill fill-rule fill-opacity stroke stroke-width stroke-linecap stroke-linejoin stroke-opacity
    stroke-dasharray stroke-miterlimit opacity clip-path clip-rule gradientUnits gradientTransform
    stop-color stop-opacity preserveAspectRatio version role aria-label aria-hidden
"""
TITLE_LENGTH = 60


@dataclass(frozen=True, slots=True)
class Brand:
    """Empty or None where company.toml does not say it: the product's own."""

    title: str = ""  # stands at the top of every page
    colour: str = ""
    dark_colour: str = ""
    logo: Path | None = None


def wrong_colour(found: str, backgrounds: Sequence[str]) -> str | None:
    """What is wrong with a colour for these backgrounds."""
    if not _COLOUR.fullmatch(found):
        return "want a colour such as #1f5c56, in small letters"
    contrast, ground = min((contrast_of(found, each), each) for each in backgrounds)
    if contrast < ENOUGH:
        return f"it has {contrast:.1f} to 1 with the background {ground}, want at least {ENOUGH}"
    return None


def wrong_title(found: str) -> str | None:
    """What is wrong with a title."""
    if len(found) > TITLE_LENGTH or not found.isprintable():
        return f"want at most {TITLE_LENGTH} characters, all of which can be seen"
    return None


def wrong_logo(path: Path) -> str | None:
    """What is wrong with the file of a logo. `path`: in the company's folder."""
    if path.suffix not in LOGO_TYPES:
        return f"want a file that ends in {' or '.join(LOGO_TYPES)}"
    try:
        content = path.read_bytes()
    except OSError as error:
        return f"{path.name} cannot be read: {error.strerror}"
    if len(content) > LOGO_BYTES:
        return f"{path.name} has {len(content):,} bytes, want at most {LOGO_BYTES:,}"
    if path.suffix == ".svg":
        return _wrong_drawing(path.name, content)
    return None if content.startswith(_PNG) else f"{path.name} is no PNG file"


def _wrong_drawing(name: str, content: bytes) -> str | None:
    """What is wrong with an SVG file: it has shapes and colours, and refers to nothing outside."""
    try:
        text = content.decode("utf-8")
        if "<!" in text.replace("<!--", "") or "<?xml-" in text:
            return f"{name} has a declaration: want shapes only"
        drawing = ElementTree.fromstring(text)  # noqa: S314 - without a declaration no entity grows
    except (ValueError, ElementTree.ParseError) as error:
        return f"{name} is no SVG file in UTF-8: {error}"
    shapes, attributes = _SHAPES.split(), _ATTRIBUTES.split()
    for each in drawing.iter():
        kind = str(each.tag)
        if not kind.startswith(_SVG) or kind.removeprefix(_SVG) not in shapes:
            return f"{name} has the element {kind.rpartition('}')[2][:40]!r}: want shapes only"
        for attribute, value in each.attrib.items():
            if attribute not in attributes or ":" in value:
                return f"{name} has the attribute {attribute[:40]!r}: want shapes and colours only"
    return None


def ink_on(colour: str) -> str:
    """What is written on this colour."""
    return max(INKS, key=lambda each: contrast_of(each, colour))


def contrast_of(one: str, other: str) -> float:
    """The contrast ratio of WCAG, from 1 to 21."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    parts = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    linear = (p / 12.92 if p <= _LINEAR else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    red, green, blue = linear
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
