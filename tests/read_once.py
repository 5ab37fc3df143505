"""What the processes of a test run read once, because hundreds of products read it alike.

The same contracts and customers, and one policy whose check takes two processes more. Keyed by
path and content: what a test edits is read again. A refusal is never kept.
"""

import os
import pickle
import ssl
from collections.abc import Callable, Iterator
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from httpx._transports import default as transports
from jinja2 import Environment

from gate.contracts import company, scene_file, source, strict_yaml
from gate.contracts.scene import Scene
from gate.contracts.source import SourceContract
from gate.policy import cedar
from gate.reads.sources import data_keys
from gate.reads.sources.duckdb import DuckDBSource
from portal.web import pages
from steward.contracts import source_probe


def install() -> None:
    """Read and check each file of one content once in this process, and those forked from it."""
    cedar.validate_elsewhere = cache(cedar.validate_elsewhere)
    strict_yaml.load = _parsed_once(strict_yaml.load)  # type: ignore[assignment] # a function
    company.load_scene = scene_file.load_scene = _loaded_once(scene_file.load_scene)  # type: ignore[attr-defined] # what it imported
    company.load_source = source.load_source = _source_loaded_once(source.load_source)  # type: ignore[attr-defined] # as above
    source_probe.key_facts = _probed_once(source_probe.key_facts)
    data_keys._ids = _listed_once(data_keys._ids)  # type: ignore[assignment] # a function
    Environment.compile = _compiled_once(Environment.compile)  # type: ignore[method-assign] # as above
    pages.made_file = cache(pages.made_file)
    transports.create_ssl_context = _trusted_once(transports.create_ssl_context)  # type: ignore[attr-defined] # as above


def _trusted_once(create: Callable[..., ssl.SSLContext]) -> Callable[..., ssl.SSLContext]:
    """`create`, which reads the authorities of TLS once: a client of plain HTTP reads them too."""
    known: dict[object, ssl.SSLContext] = {}

    def created(
        verify: object = True, cert: object = None, trust_env: bool = True
    ) -> ssl.SSLContext:
        if verify is not True or cert is not None:
            return create(verify=verify, cert=cert, trust_env=trust_env)
        key = trust_env, os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
        if key not in known:
            known[key] = create(trust_env=trust_env)
        return known[key]

    return created


def _compiled_once(compile_: Callable[..., Any]) -> Callable[..., Any]:
    """`compile_`, which compiles a template of the same text once: each application has its own."""
    known: dict[object, Any] = {}

    def compiled(
        environment: Environment,
        source: Any,
        name: str | None = None,
        filename: str | None = None,
        **more: bool,
    ) -> Any:
        options = environment.autoescape, environment.trim_blocks, environment.lstrip_blocks
        key = (source, name, filename, options, (*environment.extensions,), (*more.items(),))
        if not isinstance(source, str):
            return compile_(environment, source, name, filename, **more)
        if key not in known:
            known[key] = compile_(environment, source, name, filename, **more)
        return known[key]

    return compiled


def _probed_once(key_facts: Callable[..., Any]) -> Callable[..., Any]:
    """`key_facts`, which looks once at a table of the same content."""
    known: dict[tuple[bytes, str], Any] = {}

    def facts(tables: Any, name: str) -> Any:
        if not (content := _content(tables)):
            return key_facts(tables, name)
        if (content, name) not in known:
            known[content, name] = key_facts(tables, name)
        return known[content, name]

    return facts


def _listed_once(ids: Callable[[Any], Iterator[list[str]]]) -> Callable[[Any], Iterator[list[str]]]:
    """`ids`, which reads the ids of a table of the same content once."""
    known: dict[bytes, list[list[str]]] = {}

    def listed(source: Any) -> Iterator[list[str]]:
        if not (content := _content(source)):
            yield from ids(source)
            return
        if content not in known:
            known[content] = [*ids(source)]
        yield from known[content]

    return listed


def _content(source: object) -> bytes:
    """The digest of a source's file and of how it is read; empty: it may change unseen."""
    if type(source) is not DuckDBSource or source._path.with_suffix(".duckdb.wal").exists():
        return b""
    how = f"{source._path.suffix} {source._name} {source.key} {source._related}"
    return sha256(how.encode() + b"\0" + source._path.read_bytes()).digest()


def _parsed_once(load: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """`load`, which parses the same text once in a process: most tests read the same contracts."""
    known: dict[bytes, bytes] = {}

    def parsed(raw: bytes) -> Any:
        if raw not in known:
            known[raw] = pickle.dumps(load(raw))
        return pickle.loads(known[raw])

    return parsed


def _loaded_once(load: Callable[[Path, SourceContract], Scene]) -> Callable[..., Scene]:
    """`load`, which reads the same contract over the same source once in a process."""
    known: dict[tuple[Path, bytes], tuple[SourceContract, Scene]] = {}

    def loaded(path: Path, source: SourceContract) -> Scene:
        key = (path, path.read_bytes() if path.is_file() else b"")
        if key not in known or (known[key][0] is not source and known[key][0] != source):
            known[key] = (source, load(path, source))
        return known[key][1]

    return loaded


def _source_loaded_once(load: Callable[[Path], SourceContract]) -> Callable[..., SourceContract]:
    """`load`, which reads the same file of one content once in a process."""
    known: dict[tuple[Path, bytes], SourceContract] = {}

    def loaded(path: Path) -> SourceContract:
        key = (path, path.read_bytes() if path.is_file() else b"")
        if key not in known:
            known[key] = load(path)
        return known[key]

    return loaded
