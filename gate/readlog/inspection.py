"""Checks what a read log's entries name but do not contain: cohorts and lists of decisions."""

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from gate.readlog import batch_entry
from gate.readlog.batch_entry import MalformedListError
from gate.readlog.by_customer import stored
from gate.readlog.writer import COHORTS
from ledger.tlog import tiles

_COHORT = re.compile(rb'"cohort":"([0-9a-f]{64})"')
_BUNDLES = 'SELECT "index", data FROM bundle ORDER BY "index"'


def missing(database: sqlite3.Connection, home: Path) -> Iterator[tuple[str, str]]:
    """What the entries name and is missing or differs: (cohort's file or "", what is wrong).

    `database`: of the read log in the folder `home`. Raises sqlite3.Error, ValueError.
    """
    cohorts: set[str] = set()
    for number, data in database.execute(_BUNDLES):
        for entry, leaf in enumerate(tiles.unbundle(data), number * tiles.WIDTH):
            if leaf.startswith(batch_entry.BEGINS):
                if (wrong := _list(database, entry, leaf)) is not None:
                    yield "", wrong
            elif named := _COHORT.search(leaf):
                cohorts.add(named[1].decode())
    for digest in sorted(cohorts):
        if not (home / COHORTS / digest).exists():
            yield f"{COHORTS}/{digest}", "it is missing, but an entry of the read log names it"


def _list(database: sqlite3.Connection, entry: int, leaf: bytes) -> str | None:
    try:
        batch_entry.listing(stored(database, entry), batch_entry.batch(leaf))
    except MalformedListError as error:
        return f"entry {entry}: {error}"
    return None
