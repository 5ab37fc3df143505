"""specs/objects.md, on a memory store and on a real S3 API server."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer
from obstore.store import MemoryStore, S3Store

from ledger.tlog import auditor, object_store, signed_note
from ledger.tlog.auditor import FindingKind, KeyDemand
from ledger.tlog.fetcher import DirectorySource, UnreadableError
from ledger.tlog.object_store import DivergedStoreError, LostRaceError, PublishedObjects
from ledger.tlog.writer import Log
from tests.ledger.witnessing import ORIGIN, log_with

SIGNER = signed_note.generate(ORIGIN)
TRUST = KeyDemand([SIGNER.verifier])


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(params=["memory", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    if request.param == "memory":
        return MemoryStore()
    return _bucket(request.getfixturevalue("s3"), tmp_path.name.replace("_", "-").lower()[:50])


def _bucket(endpoint: str, name: str) -> S3Store:
    access: dict[str, Any] = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", **access)
    client.create_bucket(Bucket=name)
    return S3Store(
        name,
        endpoint=endpoint,
        access_key_id="test",
        secret_access_key="test",
        region="us-east-1",
        client_options={"allow_http": True},
    )


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return log_with(tmp_path, 300, SIGNER)


def shown(log: Log, folder: Path) -> DirectorySource:
    log.export(folder)
    return DirectorySource(folder)


def content(store: Any) -> dict[str, bytes]:
    paths = [found["path"] for chunk in store.list() for found in chunk]
    return {path: bytes(store.get(path).bytes()) for path in paths}


def files(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def test_the_store_holds_the_files_of_the_folder(store: Any, log: Log, tmp_path: Path) -> None:
    head = object_store.publish(shown(log, tmp_path / "log"), store)
    assert head == log.head()
    assert content(store) == files(tmp_path / "log")
    assert auditor.audit(PublishedObjects(store), TRUST).clean


def test_publishing_again_changes_nothing(store: Any, log: Log, tmp_path: Path) -> None:
    folder = shown(log, tmp_path / "log")
    object_store.publish(folder, store)
    before = content(store)
    object_store.publish(folder, store)
    assert content(store) == before


@pytest.mark.parametrize("more", [1, 211, 212, 213, 700])
def test_growth_writes_the_new_files_only(store: Any, log: Log, tmp_path: Path, more: int) -> None:
    object_store.publish(shown(log, tmp_path / "log"), store)
    seen = log.checkpoint()
    log.append([b"more %d" % i for i in range(more)])
    object_store.publish(shown(log, tmp_path / "log"), store)
    folder, stored = files(tmp_path / "log"), content(store)
    assert {path: data for path, data in stored.items() if path in folder} == folder
    replaced = {path.partition(".p/")[0] for path in stored if path not in folder}
    assert replaced <= {*folder}  # nothing is deleted in a store, not even a partial file
    report = auditor.audit(PublishedObjects(store), TRUST, seen)
    assert (report.clean, report.read) == (True, more)


def test_a_file_is_never_overwritten(store: Any, log: Log, tmp_path: Path) -> None:
    folder = shown(log, tmp_path / "log")
    store.put("tile/entries/000", b"other bytes")
    with pytest.raises(DivergedStoreError, match="tile/entries/000"):
        object_store.publish(folder, store)
    assert content(store)["tile/entries/000"] == b"other bytes"
    assert "checkpoint" not in content(store)


OTHERS = {
    "another history of the size": (300, b"other"),
    "another, longer history": (700, b"other"),
    "the same history, but less of it": (200, b"entry"),
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS.keys())
def test_another_history_is_refused(
    store: Any, log: Log, tmp_path: Path, other: tuple[int, bytes]
) -> None:
    object_store.publish(shown(log, tmp_path / "log"), store)
    before = content(store)
    size, mark = other
    fork = log_with(tmp_path / "fork", size, SIGNER, mark=mark)
    with pytest.raises(DivergedStoreError):
        object_store.publish(shown(fork, tmp_path / "fork/log"), store)
    assert content(store) == before


def test_a_store_of_something_else_is_refused(store: Any, log: Log, tmp_path: Path) -> None:
    store.put("checkpoint", b"hello")
    with pytest.raises(DivergedStoreError):
        object_store.publish(shown(log, tmp_path / "log"), store)
    assert content(store) == {"checkpoint": b"hello"}


class CrashError(Exception):
    """The publisher is gone."""


class Failing:
    """A store that is lost after so many puts."""

    def __init__(self, store: Any, puts: int) -> None:
        self.store, self.puts = store, puts

    def get(self, path: str) -> Any:
        return self.store.get(path)

    def put(self, path: str, data: bytes, mode: Any) -> Any:
        if self.puts == 0:
            raise CrashError
        self.puts -= 1
        return self.store.put(path, data, mode=mode)


def test_a_crash_between_any_two_puts_is_completed_later(log: Log, tmp_path: Path) -> None:
    store = MemoryStore()
    object_store.publish(shown(log, tmp_path / "log"), store)
    log.append([b"more %d" % i for i in range(300)])
    folder = shown(log, tmp_path / "log")
    puts = 0
    while True:
        fresh = MemoryStore()
        for path, data in content(store).items():
            fresh.put(path, data)
        try:
            object_store.publish(folder, Failing(fresh, puts))  # type: ignore[arg-type]  # a store that fails
        except CrashError:
            assert auditor.audit(PublishedObjects(fresh), TRUST).clean
            object_store.publish(folder, fresh)
            assert auditor.audit(PublishedObjects(fresh), TRUST).head == log.head()
            puts += 1
        else:
            break
    assert puts == 6  # two tiles and two bundles, the tile above, the checkpoint


class Racing(Failing):
    """A store to which another publisher comes first with the checkpoint."""

    def __init__(self, store: Any, other: DirectorySource) -> None:
        super().__init__(store, -1)
        self.other = other

    def put(self, path: str, data: bytes, mode: Any) -> Any:
        if path == "checkpoint":
            object_store.publish(self.other, self.store)
        return super().put(path, data, mode)


def test_of_two_publishers_one_loses_and_says_so(store: Any, log: Log, tmp_path: Path) -> None:
    slow = shown(log, tmp_path / "slow")
    log.append([b"more"])
    fast = shown(log, tmp_path / "fast")
    with pytest.raises(LostRaceError):
        object_store.publish(slow, Racing(store, fast))  # type: ignore[arg-type]  # a store with a rival
    assert content(store)["checkpoint"].decode() == log.checkpoint()
    assert auditor.audit(PublishedObjects(store), TRUST).clean


def test_a_missing_object_is_named(store: Any, log: Log, tmp_path: Path) -> None:
    object_store.publish(shown(log, tmp_path / "log"), store)
    store.delete("tile/0/000")
    report = auditor.audit(PublishedObjects(store), TRUST)
    assert [finding.kind for finding in report.findings] == [FindingKind.UNREADABLE]
    with pytest.raises(UnreadableError, match="tile/0/000"):
        PublishedObjects(store).read("tile/0/000")
