"""Reads settings from the environment and `sovereign.toml`. A name that is no setting is refused.

unknown setting 'prot' (sovereign.toml, line 3): want port
unknown setting SOVEREIGN_PROT (environment): want SOVEREIGN_PORT
"""

import os
import re
from collections.abc import Collection
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args

from pydantic_settings import EnvSettingsSource, TomlConfigSettingsSource

PREFIX = "SOVEREIGN_"
FILE = Path("sovereign.toml")  # in the working directory
NOT_SETTINGS = ("SOVEREIGN_GATE_TOKEN",)  # variables that commands read: `steward run`, `mcp`


class SettingError(ValueError):
    """A setting names something that does not exist or cannot be used. The message says which."""


class StrictEnvironment(EnvSettingsSource):
    """The variables that begin with SOVEREIGN_, in upper or lower case."""

    def __call__(self) -> dict[str, Any]:
        """Raises SettingError for one that no setting has, and for one that is there twice."""
        fields = self.settings_cls.model_fields
        known = [*(variable(each) for each in fields), *NOT_SETTINGS]
        seen: dict[str, str] = {}
        for name in sorted(os.environ):
            if not (upper := name.upper()).startswith(PREFIX):
                continue
            if upper in seen:
                raise SettingError(
                    f"the environment has {seen[upper]} and {name}, which are one setting: "
                    "remove one"
                )
            seen[upper] = name
            if upper not in known:
                raise SettingError(
                    f"unknown setting {name} (environment): want {_nearest(upper, known)}"
                )
        return super().__call__()


class StrictFile(TomlConfigSettingsSource):
    """`sovereign.toml`, if there is one."""

    def __call__(self) -> dict[str, Any]:
        """Raises SettingError for a key that is no setting."""
        known = [*self.settings_cls.model_fields]
        for name in self.init_kwargs:
            if name not in known:
                raise SettingError(
                    f"unknown setting {name!r} ({FILE}, line {_line(name)}): want "
                    f"{_nearest(name, known)}"
                )
        return super().__call__()


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return PREFIX + name.upper()


def place(name: str) -> str:
    """Where the value of a setting comes from, for errors about it."""
    if variable(name) in {each.upper() for each in os.environ}:
        return f"environment, {variable(name)}"
    if line := _line(name):
        return f"{FILE}, line {line}"
    return f"{FILE} or {variable(name)}"


def nearest_member(kind: Any, name: str) -> str:
    """The member of a setting's table with the most similar name. `kind`: `Mapping[str, Quota]`."""
    return _nearest(name, [*get_args(kind)[-1].__annotations__])


def _line(name: str) -> int:
    """The line of the file that sets `name`; 0: none does."""
    place = re.compile(rf'\s*\[*\s*"?{re.escape(name)}"?\s*[]=.]')
    try:
        lines = FILE.read_text("utf-8").splitlines()
    except (OSError, ValueError):
        return 0
    return next((number for number, each in enumerate(lines, 1) if place.match(each)), 0)


def _nearest(name: str, known: Collection[str]) -> str:
    near = get_close_matches(name, known, 1)
    return near[0] if near else f"one of docs/configuration.md: {', '.join(sorted(known))}"
