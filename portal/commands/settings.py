"""`sovereign settings`: the reference of all settings, generated from their declarations."""

from collections.abc import Iterator
from typing import Any

import typer

app = typer.Typer()

HEAD = """\
# Configuration

`sovereign settings` prints this page from the code: `sovereign settings > docs/configuration.md`.

**Precedence.** A flag counts before an environment variable, that before `sovereign.toml` in the
working directory, that before `company.toml` of the company's folder (specs/company.md), and that
before the default. This holds for every command, `--data-dir` included.

**Mistakes.** A key of `sovereign.toml` or a variable that begins with `SOVEREIGN_` and is no
setting is refused: the message names the nearest setting. So is a value that cannot be used.
Examples are as in `sovereign.toml`; in a variable a text has no quotes, and a table is JSON.
`SOVEREIGN_GATE_TOKEN` is read by `sovereign steward run` and `sovereign mcp` alone. Receivers of
notices stand in `steward.toml` of the data directory: docs/operate.md.

**Privacy loss.** What releases cost one customer is bounded: over all scenes and years at most
epsilon 10 at delta 1e-6. A company may set less; more is refused. Each reservation in the public
log states the limit of its scene, so that everybody can recompute the account.
"""


@app.command()
def settings() -> None:
    """Print the reference of all settings: meaning, default, unit, example, variable and flag."""
    typer.echo(reference(), nl=False)


def reference() -> str:
    """The page, in Markdown."""
    from portal.operations.settings import Settings

    parts = [part for name, field in Settings.model_fields.items() for part in _entry(name, field)]
    return "\n".join([HEAD, *parts])


def _entry(name: str, field: Any) -> Iterator[str]:
    from portal.configuration.sources import variable
    from portal.operations.settings import FLAG, UNIT

    more = field.json_schema_extra
    facts = [f"default {_default(field.default)}", *_bounds(field)]
    if more[UNIT]:
        facts.append(f"unit {more[UNIT]}")
    yield f"## {name}\n\n{_sentence(field.description)}\n"
    yield f"- {', '.join(facts)}"
    flag = f" · flag `{more[FLAG]}`" if more[FLAG] else ""
    yield f"- `{name} = {field.examples[0]}` · `{variable(name)}`{flag}\n"


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _default(value: Any) -> str:
    shown = value.get_secret_value() if hasattr(value, "get_secret_value") else value
    if shown in ("", {}):
        return "empty"
    return f"`{str(shown).lower() if isinstance(shown, bool) else shown}`"


def _bounds(field: Any) -> Iterator[str]:
    for each in field.metadata:
        for bound, words in (("ge", "at least"), ("le", "at most")):
            if (limit := getattr(each, bound, None)) is not None:
                yield f"{words} {limit}"
