"""An HTML page as a visitor without JavaScript uses it: its buttons and what they send."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser


@dataclass(frozen=True, slots=True)
class Button:
    """`fields`: what a press sends unless the visitor types something else."""

    address: str
    fields: Mapping[str, str]
    pressed: bool | None = None


def without_isolation(html: str) -> str:
    """A page without the elements that only keep texts of two directions apart."""
    return re.sub("</?bdi>", "", html)


@dataclass(frozen=True, slots=True)
class Page:
    status: int
    html: str

    @property
    def plain(self) -> str:
        return without_isolation(self.html)

    def buttons(self) -> list[Button]:
        return [*_Forms.read(self.html)]

    def button(self, address: str) -> Button:
        """The only button that leads to `address`."""
        leading = [each for each in self.buttons() if each.address == address]
        assert len(leading) == 1, f"{len(leading)} buttons lead to {address}, want 1"
        return leading[0]


@dataclass(slots=True)
class _Form:
    action: str
    fields: dict[str, str] = field(default_factory=dict)
    buttons: list[dict[str, str]] = field(default_factory=list)


class _Forms(HTMLParser):
    """Collects the forms of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[_Form] = []
        self._open: _Form | None = None
        self._textarea = ""

    @classmethod
    def read(cls, html: str) -> Iterator[Button]:
        parser = cls()
        parser.feed(html)
        for form in parser.forms:
            for attributes in form.buttons:
                yield _button(form, attributes)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._open = _Form(attributes.get("action", ""))
            self.forms.append(self._open)
        elif self._open is not None and tag == "button":
            self._open.buttons.append(attributes)
        elif self._open is not None and tag in {"input", "textarea", "select"}:
            self._open.fields[attributes.get("name", "")] = attributes.get("value", "")
            self._textarea = attributes.get("name", "") if tag == "textarea" else ""

    def handle_data(self, data: str) -> None:
        if self._open is not None and self._textarea:
            self._open.fields[self._textarea] += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea":
            self._textarea = ""
        elif tag == "form":
            self._open = None


def _button(form: _Form, attributes: Mapping[str, str]) -> Button:
    own = {attributes["name"]: attributes.get("value", "")} if "name" in attributes else {}
    pressed = {"true": True, "false": False}.get(attributes.get("aria-pressed", ""))
    return Button(attributes.get("formaction", form.action), {**form.fields, **own}, pressed)
