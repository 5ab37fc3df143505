"""What is wrong with a request: the JSON pointer of each member, what was wanted, what was found.

    [{"pointer": "#/reasons/0", "wanted": "a valid string", "found": "a number"},
     {"pointer": "#/subject", "wanted": "this member", "found": "nothing"}]

As RFC 9457 (section 3) shows it, with pointers of RFC 6901 as URI fragments. A value is never
repeated: it may be personal, and a problem ends in the logs of programs.
"""

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any
from urllib.parse import quote

from fastapi.exceptions import RequestValidationError

MAX_FAULTS = 20
MAX_NEARBY = 3
MAX_PATH = 200  # characters of a path that is compared
_LIKE = 0.6  # how alike two paths must be, of 1
_BEGIN = "Input should be "


def faults(error: RequestValidationError) -> list[dict[str, str]]:
    """The members at fault, each once, at most MAX_FAULTS."""
    found: dict[str, dict[str, str]] = {}
    for each in error.errors():
        fault = _fault(each, error.body)
        place = fault.get("pointer") or fault.get("parameter", "")
        if place not in found:
            found[place] = fault
        elif fault["wanted"] not in found[place]["wanted"]:  # another type that it may have
            found[place]["wanted"] += f", or {fault['wanted']}"
    return [*found.values()][:MAX_FAULTS]


def nearby(path: str, known: Sequence[str]) -> list[str]:
    """The known paths that `path` may be a misspelling of, the most alike first."""
    return get_close_matches(path[:MAX_PATH], known, MAX_NEARBY, _LIKE)


def _fault(each: Mapping[str, Any], body: Any) -> dict[str, str]:
    origin, *location = each["loc"]
    if origin != "body":
        name = str(location[0]) if location else ""
        return {"parameter": name, "wanted": _wanted(each), "found": f"{origin} parameter {name}"}
    if each["type"] == "json_invalid":
        at = location[0] if location else 0
        return {"pointer": "#", "wanted": "a JSON object", "found": f"no JSON at character {at}"}
    parts, value = _place(location, body, missing=each["type"] == "missing")
    return {"pointer": _pointer(parts), "wanted": _wanted(each), "found": _found(each, value)}


def _place(location: Sequence[Any], body: Any, *, missing: bool) -> tuple[list[Any], Any]:
    """The part of a location that the body has, and its value there.

    A location may end with the name of a type that a value was tried as, which is no member.
    """
    parts, value = list[Any](), body
    for part in location:
        if not _has(value, part):
            return ([*parts, part] if missing else parts), value
        value = value[part]
        parts.append(part)
    return parts, value


def _has(value: Any, part: Any) -> bool:
    if isinstance(value, list):
        return isinstance(part, int) and part < len(value)
    return isinstance(value, Mapping) and part in value


def _pointer(parts: Sequence[Any]) -> str:
    escaped = (str(each).replace("~", "~0").replace("/", "~1") for each in parts)
    return "#" + "".join(f"/{quote(each, safe='~')}" for each in escaped)


def _wanted(each: Mapping[str, Any]) -> str:
    match each["type"]:
        case "missing":
            return "this member" if each["loc"][1:] else "a JSON object"
        case "extra_forbidden":
            return "no member of this name"
        case "model_attributes_type" | "dict_type":
            return "a JSON object"
        case _:
            return str(each["msg"]).removeprefix(_BEGIN)


def _found(each: Mapping[str, Any], value: Any) -> str:
    return "nothing" if each["type"] == "missing" else _kind(value)


def _kind(value: Any) -> str:
    if isinstance(value, str):
        return f"a text of {len(value)} characters"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    kinds = {type(None): "null", bool: "a truth value", int: "a number", float: "a number"}
    return kinds.get(type(value), "an object" if isinstance(value, Mapping) else "no JSON")


def listed(found: Sequence[Mapping[str, str]]) -> Iterator[str]:
    """The same in words, one a fault."""
    for each in found:
        place = each.get("pointer") or each.get("parameter")
        yield f"{place}: want {each['wanted']}, found {each['found']}"
