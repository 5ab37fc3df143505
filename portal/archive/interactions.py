"""A page on which a customer reads what was written to, about or by them: interactions.html.

The machine-readable files stay beside it, and hold the same texts. The page loads nothing and runs
nothing. Its headings are in the language of the customer's last decision, or the company's first.
"""

from collections.abc import Sequence
from html import escape

from portal.archive.pack import ArchivePart
from steward.language import catalogue
from steward.language.catalogue import Catalogue

FOLDER = "interactions/"
TEXT = ".txt"
NAME = "interactions.html"
MEDIA_TYPE = "text/html; charset=utf-8"

_PAGE = """\
<!doctype html>
<html lang="{lang}" dir="{dir}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title>
<style>body {{ font: 1rem/1.5 sans-serif; max-width: 45rem; margin: 2rem auto; padding: 0 1rem; \
color-scheme: light dark; }} pre {{ white-space: pre-wrap; overflow-wrap: anywhere; \
font: inherit; }}</style>
</head>
<body>
<h1>{title}</h1>
<p>{lead}</p>
{texts}
</body>
</html>
"""
_TEXT = '<section>\n<h2 dir="auto">{heading}</h2>\n<pre dir="auto">{text}</pre>\n</section>'


def page(parts: Sequence[ArchivePart], spoken: Catalogue) -> ArchivePart | None:
    """The page of the archive's texts, in the order of their names; None if there is none."""
    texts = sorted((p for p in parts if _is_text(p)), key=lambda part: part.name)
    if not texts:
        return None
    shown = "\n".join(
        _TEXT.format(heading=escape(_heading(each)), text=escape(each.data.decode()))
        for each in texts
    )
    title = escape(spoken.plain("archive.interactions.title"))
    lead = escape(spoken.plain("archive.interactions.lead"))
    direction = str(catalogue.of_language(spoken.tag).text_direction)  # not that of its formats
    html = _PAGE.format(lang=spoken.tag, dir=direction, title=title, lead=lead, texts=shown)
    return ArchivePart(NAME, html.encode(), MEDIA_TYPE, "The same texts, to read")


def _is_text(part: ArchivePart) -> bool:
    return part.name.startswith(FOLDER) and part.name.endswith(TEXT)


def _heading(part: ArchivePart) -> str:
    return part.name.removeprefix(FOLDER).removesuffix(TEXT)
