"""Damage data directories by script, and start each: `python -m tests.crash.directories`.

A directory is rolled back, emptied, exchanged, cut off or half restored: one file, or several that
a careless restore leaves together. Then it is opened as `sovereign serve` opens it. It either opens
and `fsck` proves it whole, with every receipt that was given out, or it is refused, each time, with
a message that says what to do. Only a damaged published file hinders no start: `fsck` names it.
"""

import argparse
import random
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from ledger.fsck import fsck
from ledger.tlog import policy
from ledger.verify import receipt
from tests.ledger.events import NOON
from tests.ledger.worlds import AGE, opened, say

ADVICE = ("restore", "correct the setting", "check who uses", "run `sovereign", "run fsck", "move ")
OPENS, REFUSED = "opens and is whole", "refused with what to do"
NAMED = "opens, and fsck names a published file"
RIGHT = (OPENS, REFUSED, NAMED)


@dataclass(frozen=True)
class Sound:
    """Stages of one ledger: `early`, `later`, `now`; `other`: another ledger of the same name."""

    folder: Path
    receipts: tuple[str, ...]  # given out until now

    def at(self, stage: str) -> Path:
        return self.folder / stage


@dataclass(frozen=True)
class Treatment:
    name: str
    apply: Callable[[Sound, Path], None]  # to a copy of `now`


def made(folder: Path) -> Sound:
    """The stages: customers, an erasure, a rotation of keys, each published."""
    home, receipts = folder / "now", list[str]()
    for stage, customers in (("early", "ab"), ("later", "bcd"), ("now", "ade")):
        with closing(opened(home)) as ledger:
            for name in customers:
                (recorded,) = say(ledger, name, AGE)
                receipts.append(ledger.receipt(recorded.index))
            if stage == "later":
                ledger.rotate(home, NOON)
                ledger.erase("c", NOON)
            ledger.states.export(home / "log/state")
            ledger.export(home / "log/consent")
        if stage != "now":
            shutil.copytree(home, folder / stage)
    with closing(opened(folder / "other")) as ledger:
        say(ledger, "a", *[AGE] * 12)
        ledger.erase("a", NOON)
        ledger.states.export(folder / "other/log/state")
        ledger.export(folder / "other/log/consent")
    return Sound(folder, tuple(receipts))


def treatments(sound: Sound) -> Iterator[Treatment]:
    """All of them, the same ones each time."""
    files = sorted(str(p.relative_to(sound.at("now"))) for p in _files(sound.at("now")))
    single = [each for each in files if not each.startswith("log/") or "checkpoint" in each]
    for file in single:
        yield Treatment(f"removed: {file}", _removed(file))
        yield Treatment(f"emptied: {file}", _written(file, lambda _: b""))
        yield Treatment(f"cut in half: {file}", _written(file, lambda data: data[: len(data) // 2]))
        for stage in ("early", "later", "other"):
            if (sound.at(stage) / file).exists():
                yield Treatment(f"from {stage}: {file}", _taken(stage, file))
    for stage in ("early", "later", "other"):
        for name, parts in GROUPS.items():
            yield Treatment(f"from {stage}: {name}", _taken(stage, *parts))
    for name, parts in GROUPS.items():
        yield Treatment(f"removed: {name}", _removed(*parts))
    for number in range(12):
        yield Treatment(f"half restored, {number}", _half_restored(number))


GROUPS = {
    "the database": ("ledger.sqlite",),
    "the keys": ("keys",),
    "the publication": ("log",),
    "database and keys": ("ledger.sqlite", "keys"),
    "database and publication": ("ledger.sqlite", "log"),
    "keys and publication": ("keys", "log"),
    "keys and policies": ("keys", "consent.policy", "state.policy"),
    "all but the publication": ("ledger.sqlite", "keys", "consent.policy", "state.policy"),
    "everything": ("ledger.sqlite", "keys", "consent.policy", "state.policy", "log"),
}


def _files(home: Path) -> list[Path]:
    lasting = (p for p in home.rglob("*") if p.is_file())
    return [p for p in lasting if not p.name.endswith(("-wal", "-shm", ".lock"))]


def _removed(*parts: str) -> Callable[[Sound, Path], None]:
    def apply(_: Sound, home: Path) -> None:
        for each in parts:
            _gone(home / each)

    return apply


def _written(file: str, change: Callable[[bytes], bytes]) -> Callable[[Sound, Path], None]:
    def apply(_: Sound, home: Path) -> None:
        (home / file).write_bytes(change((home / file).read_bytes()))

    return apply


def _taken(stage: str, *parts: str) -> Callable[[Sound, Path], None]:
    def apply(sound: Sound, home: Path) -> None:
        for each in parts:
            _gone(home / each)
            there = sound.at(stage) / each
            if there.is_dir():
                shutil.copytree(there, home / each)
            elif there.exists():
                shutil.copy(there, home / each)

    return apply


def _half_restored(seed: int) -> Callable[[Sound, Path], None]:
    """An earlier stage was copied over the directory, and the copy was killed on the way."""

    def apply(sound: Sound, home: Path) -> None:
        chance = random.Random(seed)
        earlier = sound.at(chance.choice(("early", "later")))
        files = sorted(str(p.relative_to(earlier)) for p in _files(earlier))
        chance.shuffle(files)
        for each in files[: chance.randrange(1, len(files))]:
            (home / each).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(earlier / each, home / each)
        last = home / files[0]
        if chance.random() < 0.5:
            last.write_bytes(last.read_bytes()[: chance.randrange(1 + last.stat().st_size)])

    return apply


def _gone(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        for each in path.parent.glob(f"{path.name}*") if path.suffix == ".sqlite" else (path,):
            each.unlink(missing_ok=True)


def outcome(sound: Sound, treatment: Treatment, home: Path) -> str:
    """OPENS or REFUSED, or what is wrong."""
    shutil.copytree(sound.at("now"), home)
    treatment.apply(sound, home)
    try:
        size = _started(home)
    except Exception as error:  # noqa: BLE001 - judged by what it says
        return _refusal(error, home)
    found = [str(each) for each in fsck(home)]
    if found and all(each.startswith("log/") for each in found):
        return NAMED
    if found:
        return f"opens with {size} entries, and fsck finds {found[:3]}"
    return _receipts(sound, home, size)


def _started(home: Path) -> int:
    """Open the ledger as a start of the server does; returns the number of its entries."""
    with closing(opened(home)) as ledger:
        ledger.require_owners()
        return ledger.size


def _refusal(error: Exception, home: Path) -> str:
    """A start that was refused is refused again, until somebody does what it says."""
    told = str(error)
    if not any(each in told for each in ADVICE):
        return f"refused without advice: {type(error).__name__}: {told}"
    try:
        _started(home)
    except Exception:  # noqa: BLE001 - as the first time
        return REFUSED
    return f"refused, and then opened: {told}"


def _receipts(sound: Sound, home: Path, size: int) -> str:
    """Whether all receipts verify that the directory has, under its own policy."""
    trusted = policy.parse((home / "consent.policy").read_bytes())
    for text in sound.receipts:
        parsed = receipt.parse(text)
        if parsed.index < size and _is_ours(home, sound):
            receipt.verify_under(parsed, trusted)
    return OPENS


def _is_ours(home: Path, sound: Sound) -> bool:
    """Whether the log is the one that gave out the receipts, not one that began again."""
    keys = [(each / "consent.policy").read_text() for each in (home, sound.at("early"))]
    return keys[1].splitlines()[0] in keys[0]


def run(chosen: list[Treatment], sound: Sound, place: Path) -> dict[str, str]:
    """The outcome of each treatment, by its name."""
    found = {}
    for number, each in enumerate(chosen):
        home = place / str(number)
        found[each.name] = outcome(sound, each, home)
        shutil.rmtree(home)
    return found


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    with TemporaryDirectory() as folder:
        sound = made(Path(folder) / "sound")
        found = run([*treatments(sound)], sound, Path(folder))
    for name, told in found.items():
        if told not in RIGHT:
            sys.stdout.write(f"WRONG {name}: {told}\n")
    counted = Counter(told if told in RIGHT else "wrong" for told in found.values())
    sys.stdout.write(f"{len(found)} directories: {dict(counted)}\n")
    sys.exit(counted["wrong"])


if __name__ == "__main__":
    main()
