"""specs/audit.md."""

import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from shutil import copytree
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.events import envelope
from ledger.events.envelope import SubjectErased
from ledger.events.sealed_entry import consent_entry
from ledger.tlog import auditor, checkpoint, cosignature, fetcher, merkle, signed_note
from ledger.tlog.auditor import AuditReport, FindingKind, KeyDemand
from ledger.tlog.fetcher import DirectorySource, UnreadableError, WebSource
from ledger.tlog.signed_note import Note
from ledger.vault import commitments
from tests.campaign import sized
from tests.ledger.witnessing import NOON, ORIGIN, log_with

SIGNER = signed_note.generate(ORIGIN)
TRUST = KeyDemand([SIGNER.verifier])
SIZE = 300  # a full bundle and a partial one


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of 300 entries as it is published; not to be changed."""
    folder = tmp_path_factory.mktemp("published")
    log = log_with(folder, SIZE, SIGNER)
    log.export(folder / "log")
    log.close()
    return folder / "log"


@pytest.fixture
def folder(published: Path, tmp_path: Path) -> Path:
    """A copy of it that may be changed."""
    return copytree(published, tmp_path / "copy")


def audited(folder: Path, seen: str | None = None, trust: KeyDemand = TRUST) -> AuditReport:
    return auditor.audit(DirectorySource(folder), trust, seen)


def kinds(report: AuditReport) -> set[FindingKind]:
    return {finding.kind for finding in report.findings}


@settings(max_examples=sized(10, 100))
@given(st.lists(st.integers(0, 300), min_size=1, max_size=4))
def test_a_log_that_only_grew_is_clean(steps: list[int]) -> None:
    with TemporaryDirectory() as home:
        log, folder = log_with(Path(home), 0, SIGNER), Path(home) / "log"
        seen, total = None, 0
        for step in steps:
            if step:
                log.append([b"%d" % i for i in range(step)])
            log.export(folder)
            report = audited(folder, seen)
            assert report.clean
            assert (report.read, report.note) == (step, log.checkpoint())
            seen, total = report.note, total + step
        assert audited(folder).read == total
        log.close()


def test_an_unsigned_checkpoint_is_untrusted(folder: Path) -> None:
    other = KeyDemand([SIGNER.verifier, signed_note.generate(ORIGIN).verifier])
    report = audited(folder, trust=other)
    assert kinds(report) == {FindingKind.UNTRUSTED}
    assert report.note is None
    assert report.findings[0].evidence["shown"] == (folder / "checkpoint").read_text()


def test_a_checkpoint_of_another_log_is_untrusted(folder: Path) -> None:
    text = (folder / "checkpoint").read_text().replace(ORIGIN, "other.example/log", 1)
    forged = signed_note.sign(signed_note.parse(text).text, [SIGNER])
    (folder / "checkpoint").write_text(str(forged))
    assert kinds(audited(folder)) == {FindingKind.UNTRUSTED}


def test_fewer_cosignatures_than_the_quorum_are_untrusted(folder: Path) -> None:
    witnesses = [cosignature.generate(f"w{i}.example") for i in range(3)]
    signed = signed_note.parse((folder / "checkpoint").read_text())
    by_two = [w.cosign(signed.text, NOON) for w in witnesses[:2]]
    (folder / "checkpoint").write_text(str(Note(signed.text, (*signed.signatures, *by_two))))
    keys = [witness.key for witness in witnesses]
    assert audited(folder, trust=KeyDemand([SIGNER.verifier], keys, 2)).clean
    assert kinds(audited(folder, trust=KeyDemand([SIGNER.verifier], keys, 3))) == {
        FindingKind.UNTRUSTED
    }


def test_a_rollback_is_found_with_both_notes_as_evidence(tmp_path: Path) -> None:
    log = log_with(tmp_path, 9, SIGNER)
    seen = log.checkpoint()
    restored = log_with(tmp_path / "restored", 7, SIGNER)
    restored.export(tmp_path / "log")
    report = audited(tmp_path / "log", seen)
    assert kinds(report) == {FindingKind.ROLLED_BACK}
    assert report.note == seen
    assert set(report.findings[0].evidence.values()) == {seen, restored.checkpoint()}


@pytest.mark.parametrize("size", [5, 6, 256, 300, 700])
def test_a_split_view_is_found_with_both_notes_as_evidence(tmp_path: Path, size: int) -> None:
    seen = log_with(tmp_path, 5, SIGNER).checkpoint()
    other = log_with(tmp_path / "other", size, SIGNER, mark=b"other")
    other.export(tmp_path / "log")
    report = audited(tmp_path / "log", seen)
    assert kinds(report) == {FindingKind.SPLIT_VIEW}
    assert report.note == seen
    assert set(report.findings[0].evidence.values()) == {seen, other.checkpoint()}


def test_the_evidence_of_a_split_view_convinces_without_the_auditor(tmp_path: Path) -> None:
    seen = log_with(tmp_path, 5, SIGNER).checkpoint()
    other = log_with(tmp_path / "other", 5, SIGNER, mark=b"other")
    other.export(tmp_path / "log")
    evidence = audited(tmp_path / "log", seen).findings[0].evidence
    notes = [signed_note.parse(evidence[name]) for name in ("seen", "shown")]
    for signed in notes:
        signed_note.verify(signed, [SIGNER.verifier])
    one, two = (checkpoint.parse(signed.text) for signed in notes)
    assert one.size == two.size
    assert one.root != two.root


def test_changed_tiles_accuse_nobody_but_themselves(tmp_path: Path) -> None:
    log = log_with(tmp_path, 5, SIGNER)
    seen = log.checkpoint()
    log.append([b"more"])
    log.export(tmp_path / "log")
    _flip(tmp_path / "log/tile/0/000.p/6", 0)
    assert kinds(audited(tmp_path / "log", seen)) == {FindingKind.WRONG_TILE}


def test_changing_any_byte_of_any_file_is_found(tmp_path: Path) -> None:
    log = log_with(tmp_path, 4, SIGNER)
    folder = tmp_path / "log"
    log.export(folder)
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) == 3
    for path in files:
        for at in range(path.stat().st_size):
            _flip(path, at)
            assert not audited(folder).clean, (path, at)
            _flip(path, at)
    assert audited(folder).clean


@pytest.mark.parametrize("size", [256, 300, 512, 66_000])
def test_changed_bytes_of_tiles_of_any_level_are_found(tmp_path: Path, size: int) -> None:
    log_with(tmp_path, size, SIGNER).export(tmp_path / "log")
    upper = [path for path in (tmp_path / "log/tile").rglob("*") if path.is_file()]
    upper = [path for path in upper if path.relative_to(tmp_path / "log/tile").parts[0] in "12"]
    assert upper
    for path in upper:
        for at in {0, path.stat().st_size // 2, path.stat().st_size - 1}:
            _flip(path, at)
            assert kinds(audited(tmp_path / "log")) == {FindingKind.WRONG_TILE}, (path, at)
            _flip(path, at)
    assert audited(tmp_path / "log").clean


def test_a_wrong_entry_leads_to_another_root(folder: Path) -> None:
    _flip(folder / "tile/entries/001.p/44", 5)
    report = audited(folder)
    assert kinds(report) == {FindingKind.WRONG_ROOT, FindingKind.WRONG_TILE}
    assert "tile 0/1" in report.findings[0].message


def _folder_instead(path: Path) -> None:
    path.unlink()
    path.mkdir()


FILES = ("checkpoint", "tile/entries/000", "tile/entries/001.p/44", "tile/0/000", "tile/0/001.p/44")
DAMAGE: dict[str, Callable[[Path], object]] = {
    "missing": Path.unlink,
    "a folder": _folder_instead,
    "empty": lambda path: path.write_bytes(b""),
    "cut off": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "more than it": lambda path: path.write_bytes(path.read_bytes() + b"\x00\x01x" + bytes(29)),
    "twice": lambda path: path.write_bytes(path.read_bytes() * 2),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
@pytest.mark.parametrize("file", FILES)
def test_a_damaged_file_is_named(folder: Path, file: str, damage: Callable[[Path], object]) -> None:
    damage(folder / file)
    report = audited(folder)
    assert kinds(report) <= {FindingKind.UNREADABLE, FindingKind.UNTRUSTED}
    [finding] = report.findings
    assert finding.kind is FindingKind.UNTRUSTED or file in finding.message


def test_an_endless_file_is_not_read_to_its_end(folder: Path) -> None:
    with (folder / "tile/entries/000").open("wb") as file:
        file.truncate(fetcher.MAX_BYTES + 1)
    with pytest.raises(UnreadableError, match="more than"):
        DirectorySource(folder).read("tile/entries/000")
    assert kinds(audited(folder)) == {FindingKind.UNREADABLE}


def test_a_partial_tile_that_became_full_is_not_missing(tmp_path: Path) -> None:
    log = log_with(tmp_path, 200, SIGNER)
    log.export(tmp_path / "log")
    older = (tmp_path / "log/checkpoint").read_text()
    log.append([b"%d" % i for i in range(100)])
    log.export(tmp_path / "log")
    for partial_folder in (tmp_path / "log/tile").rglob("000.p"):
        for path in partial_folder.iterdir():
            path.unlink()
    (tmp_path / "log/checkpoint").write_text(older)
    assert audited(tmp_path / "log").clean


ERASED = envelope.encode(SubjectErased(NOON))
MISPLACED = {
    "nothing": b"",
    "another kind": b"\x03" + ERASED,
    "a short commitment": commitments.PERSONAL + bytes(55),
    "a long commitment": commitments.PERSONAL + bytes(57),
    "no event": commitments.PUBLIC + b"{}",
    "an event in another form": commitments.PUBLIC + ERASED + b" ",
}


@pytest.mark.parametrize("entry", MISPLACED.values(), ids=MISPLACED.keys())
def test_an_entry_without_a_place_in_a_consent_log_is_reported(
    tmp_path: Path, entry: bytes
) -> None:
    log = log_with(tmp_path, 0, SIGNER)
    log.append([commitments.PUBLIC + ERASED, entry, commitments.PERSONAL + bytes(56)])
    log.export(tmp_path / "log")
    report = auditor.audit(DirectorySource(tmp_path / "log"), TRUST, check_entry=consent_entry)
    [finding] = report.findings
    assert finding.kind is FindingKind.MALFORMED_ENTRY
    assert finding.message.startswith("entry 1:")
    assert finding.evidence["entry"] == entry.hex()


def test_findings_are_listed_up_to_a_limit(tmp_path: Path) -> None:
    log = log_with(tmp_path, 0, SIGNER)
    log.append([b"\x07"] * (auditor.MAX_FINDINGS + 50))
    log.export(tmp_path / "log")
    report = auditor.audit(DirectorySource(tmp_path / "log"), TRUST, check_entry=consent_entry)
    assert len(report.findings) == auditor.MAX_FINDINGS


def test_an_audit_does_not_start_from_a_note_it_cannot_trust(folder: Path) -> None:
    forged = signed_note.sign(f"{ORIGIN}\n1\n{'A' * 43}=\n", [signed_note.generate(ORIGIN)])
    with pytest.raises(ValueError, match="want 1"):
        audited(folder, str(forged))


def test_the_log_cannot_change_its_name(tmp_path: Path) -> None:
    seen = signed_note.sign(
        str(checkpoint.Checkpoint("other.example/log", 0, merkle.EMPTY_ROOT)), [SIGNER]
    )
    with pytest.raises(ValueError, match=r"other\.example"):
        audited(tmp_path, str(seen))


def test_progress_reaches_the_end(folder: Path) -> None:
    steps: list[tuple[int, int]] = []
    auditor.audit(
        DirectorySource(folder), TRUST, progress=lambda done, total: steps.append((done, total))
    )
    assert steps == [(256, SIZE), (SIZE, SIZE)]


def _peak(home: Path, entries: int) -> int:
    log = log_with(home, entries, SIGNER)
    log.export(home / "log")
    tracemalloc.start()
    assert audited(home / "log").clean
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    log.close()
    return peak


def test_memory_does_not_grow_with_the_log(tmp_path: Path) -> None:
    small = _peak(tmp_path / "small", 2_000)
    large = _peak(tmp_path / "large", 20_000)
    assert large < 1.5 * small


@contextmanager
def served(folder: Path) -> Iterator[str]:
    handler = partial(_Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None: ...


def test_a_log_is_audited_over_http_as_from_a_folder(folder: Path) -> None:
    with served(folder) as url:
        report = auditor.audit(fetcher.at(url), TRUST)
        assert report == audited(folder)
        assert report.clean
        (folder / "tile/0/000").unlink()
        assert kinds(auditor.audit(fetcher.at(url), TRUST)) == {FindingKind.UNREADABLE}
    assert kinds(auditor.audit(fetcher.at(url), TRUST)) == {FindingKind.UNREADABLE}


class _Dripping(SimpleHTTPRequestHandler):
    """Sends a byte ten times a second, without an end."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-length", "1000000")
        self.end_headers()
        with suppress(OSError):
            while not self.server.__dict__.get("_ended"):
                self.wfile.write(b"x")
                time.sleep(0.1)

    def log_message(self, *args: object) -> None: ...


def test_a15_a_server_that_never_ends_a_file_is_given_up() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Dripping) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        for slow in (WebSource(url, file_s=0.5), WebSource(url, until=time.monotonic() + 0.5)):
            with pytest.raises(UnreadableError, match="the server is too slow"):
                slow.read("checkpoint")
        server.__dict__["_ended"] = True
        server.shutdown()


def test_a15_a_file_that_is_cut_off_is_unreadable(folder: Path) -> None:
    class Cut(_Quiet):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-length", "1000")
            self.end_headers()
            self.wfile.write(b"x")

    with ThreadingHTTPServer(("127.0.0.1", 0), Cut) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        report = auditor.audit(fetcher.at(f"http://127.0.0.1:{server.server_port}"), TRUST)
        server.shutdown()
    assert kinds(report) == {FindingKind.UNREADABLE}


def _flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
