"""Reads a strict subset of YAML, in which no text has a surprising value.

YAML 1.1 reads `no` as false and `01` as 1, and keeps the last of two equal keys. Here a plain
scalar is what it spells: `no`, `01`, `0x10`, `1_000`, `1e3`, `12:30` and `2026-01-01` are texts.
The exceptions are true and false, numbers that are written the one way a number is (`12`, `-0.5`),
and null. Refused: a key that occurs twice, anchors, aliases, merge keys and tags.

Every mapping knows the line on which it and each of its keys begins, for errors.
"""

import re
from typing import Any

import yaml

DEEPEST = 64  # limit on nested collections; the shipped contracts have nine
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml, where the wheel has it
_CONSTANTS = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
}
_WHOLE = re.compile(r"0|-?[1-9][0-9]{0,17}", re.ASCII)
_FRACTION = re.compile(r"-?(0|[1-9][0-9]{0,17})\.[0-9]{1,17}", re.ASCII)
_MERGE = "<<"


class YamlError(ValueError):
    """The text is not of this part of YAML. The message names the line, where one is known."""


class Entry(dict[str, Any]):
    """A mapping. `line`: where it begins. `lines`: where each key stands; the first line is 1."""

    line: int = 0
    lines: dict[str, int]


def load(raw: bytes) -> Any:
    """Parse one document. Raises YamlError."""
    try:
        _require_plain(raw)
        node = yaml.compose(raw, Loader=_LOADER)
    except (yaml.YAMLError, RecursionError, UnicodeError) as error:
        raise YamlError(_one_line(error)) from error
    return None if node is None else _value(node)


def _require_plain(raw: bytes) -> None:
    """Refuse anchors, aliases and tags, and nesting on which libyaml would overflow the stack."""
    depth = 0
    for event in yaml.parse(raw, Loader=_LOADER):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise YamlError(f"line {_line(event)}: want no anchor or alias: write the value out")
        if tag := getattr(event, "tag", None):
            raise YamlError(f"line {_line(event)}: want no tag, found {tag!r}: leave it out")
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise YamlError(f"line {_line(event)}: nested deeper than {DEEPEST}")


def _value(node: Any) -> Any:
    if isinstance(node, yaml.MappingNode):
        return _entry(node)
    if isinstance(node, yaml.SequenceNode):
        return [_value(each) for each in node.value]
    return node.value if node.style else _plain(node.value)


def _entry(node: Any) -> Entry:
    entry = Entry()
    entry.line, entry.lines = _line(node), {}
    for key, value in node.value:
        name = _key(key)
        if name in entry:
            first = entry.lines[name]
            raise YamlError(
                f"line {_line(key)}: {name!r} is here and in line {first} of one mapping: "
                "remove one"
            )
        entry[name], entry.lines[name] = _value(value), _line(key)
    return entry


def _key(node: Any) -> str:
    if not isinstance(node, yaml.ScalarNode):
        raise YamlError(f"line {_line(node)}: want a text as key, found a collection")
    if node.value == _MERGE and not node.style:
        raise YamlError(f"line {_line(node)}: want no merge key: write its keys out")
    return str(node.value)


def _plain(text: str) -> Any:
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _WHOLE.fullmatch(text):
        return int(text)
    if _FRACTION.fullmatch(text) and repr(float(text)) == text:
        return float(text)
    return text


def _line(part: Any) -> int:
    return int(part.start_mark.line) + 1


def _one_line(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    where = f"line {mark.line + 1}: " if mark else ""
    return where + (getattr(error, "problem", None) or " ".join(str(error).split()))
