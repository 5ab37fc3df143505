"""specs/portability.md: everything about one customer in one file, and back."""

import csv
import io
import json
import shutil
import zipfile
from collections.abc import Iterator
from datetime import timedelta
from html import unescape
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from gate.reads.request import ReadRequest
from ledger.events.envelope import EvidenceClass, Granted, Imported, Withdrawn
from ledger.fsck import fsck
from ledger.service import Ledger
from ledger.tlog import policy
from ledger.verify import receipt
from portal.archive import imported, pack
from portal.archive.content import NobodyError, archive
from portal.archive.holding import CustomerRecords
from portal.archive.pack import ArchiveError, ArchivePart
from portal.commands import app
from portal.consent import wording
from portal.operations import company_folder
from portal.operations.settings import Settings
from portal.operations.wiring import Product, open_source
from portal.web import i18n
from steward.language import catalogue
from steward.oversight.authority_access import AuthorityAccesses
from steward.oversight.review import PROPOSED
from tests.bank import BANK
from tests.campaign import sized
from tests.portal.conftest import SAID, START, copy

WHO, OTHER = "c00007", "c00008"
SPOKEN = [f"c{n:05d}" for n in range(1, 13)]
TEXT = "Sehr geehrte Frau – 您好, your refund of 30 is on its way.\r\nKind regards"


def holding(product: Product) -> CustomerRecords:
    return CustomerRecords(
        product.home,
        product.ledger,
        product.source,
        product.scenes,
        product.gate.source,
        catalogue.load(),
    )


@pytest.fixture(scope="module")
def lived(seeded: Path, tmp_path_factory: pytest.TempPathFactory) -> Product:
    """A product in which things happened: reads, a withdrawal, an opening, a proposal. The tests
    only read it."""
    product = copy(seeded, tmp_path_factory.mktemp("lived") / "home")
    for subject in (WHO, OTHER):
        for scene in ("segmentation", "contract-service"):
            fields = tuple(product.scenes[scene].fields)[:3]
            service = product.scenes[scene].services[0].id
            product.gate.read(ReadRequest(service, scene, subject, fields, START))
    said = wording.wording(product.scenes["segmentation"], i18n.load()["en"])
    product.ledger.record(
        [product.ledger.draft(WHO, Withdrawn("segmentation"), at=START, wording=said)]
    )
    AuthorityAccesses(product.register()).grant(
        WHO, "data-protection-officer", "complaint", 3, START
    )
    with product.register().writing() as writing:
        shown = {"service": "care-desk", "operations": ["refund"], "deadline": 0}
        writing.append(PROPOSED, WHO, shown, {"text": TEXT}, START)
    return product


def files(data: bytes) -> dict[str, bytes]:
    return dict(pack.unpacked(data).files)


def table(data: bytes) -> list[dict[str, str]]:
    return [*csv.DictReader(io.StringIO(data.decode(), newline=""))]


def test_p1_the_archive_holds_everything_about_the_customer(lived: Product) -> None:
    found = files(archive(holding(lived), WHO, START))
    history = json.loads(found["history.json"])
    assert [each["index"] for each in history] == [e.index for e in lived.ledger.history(WHO)]
    assert json.loads(found["agreement.json"])["scenes"]["segmentation"]["fields"] is None
    reads = json.loads(found["reads.json"])
    assert [(place, entry["scene"]) for place, entry in lived.reads_of(WHO)] == [
        (each["entry"], each["scene"]) for each in reads
    ]
    assert len(reads) == 2
    row = json.loads(found["data/customer.json"])
    assert row.keys() == {e.name for e in lived.source.items.values() if not e.provided}
    assert json.loads(found["openings.json"])[0]["reason"] == "complaint"
    (text,) = (data for name, data in found.items() if name.endswith("proposed.txt"))
    assert text.decode() == TEXT, "free text is given as it was written"


def test_p7_messages_are_on_a_page_beside_their_files(lived: Product) -> None:
    found = files(archive(holding(lived), WHO, START))
    page = found["interactions.html"].decode()
    assert '<html lang="en" dir="ltr">' in page
    assert unescape(page).count(TEXT) == 1
    assert "<script" not in page
    assert "default-src 'none'" in page


def test_p2_what_is_a_table_is_there_as_json_and_as_csv(lived: Product) -> None:
    found = files(archive(holding(lived), WHO, START))
    for name in ("history", "reads", "data/customer"):
        rows = json.loads(found[f"{name}.json"])
        rows = rows if isinstance(rows, list) else [rows]
        shown = table(found[f"{name}.csv"])
        assert len(shown) == len(rows)
        for row, cells in zip(rows, shown, strict=True):
            assert row.keys() <= cells.keys()
            assert all(
                cells[key] == str(row[key]) for key in row if isinstance(row[key], (str, int))
            )


def test_p3_the_receipts_verify_with_what_is_in_the_archive(lived: Product) -> None:
    found = files(archive(holding(lived), WHO, START))
    trusted = policy.parse(found["trust/consent.policy"])
    history = json.loads(found["history.json"])
    for each in history:
        kept = receipt.parse(found[f"receipts/{each['index']}.tlog-proof"].decode())
        receipt.verify_under(kept, trusted)
        assert {"index": kept.index, **kept.extra["event"]} == each
    assert found["receipts/state.tlog-proof"]


def test_p4_nobody_else_and_nothing_of_the_companys_is_in_it(lived: Product) -> None:
    data = archive(holding(lived), WHO, START)
    others = [each for each in lived.ledger.subjects() if each != WHO]
    assert OTHER in others
    assert not any(each.encode() in data for each in others)
    secrets = [path for path in (lived.home / "keys").iterdir() if path.suffix == ".key"]
    secrets.append(lived.home / "keys" / "kek")
    for path in secrets:
        lines = path.read_bytes().splitlines() if path.name != "kek" else [path.read_bytes()]
        assert not any(line in data for line in lines if len(line) > 8)
    row = lived.gate.source.row(OTHER, ["name", "email", "phone"])
    assert row is not None
    assert not any(str(value).encode() in data for value in row.values())


def test_p5_it_is_the_same_bytes_while_nothing_happens(lived: Product) -> None:
    first = archive(holding(lived), WHO, START)
    assert archive(holding(lived), WHO, START) == first
    with zipfile.ZipFile(io.BytesIO(first)) as file:
        names = file.namelist()
        assert names[0] == pack.INDEX
        assert names[1:] == sorted(names[1:])
        assert {each.date_time for each in file.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert {each.compress_type for each in file.infolist()} == {zipfile.ZIP_STORED}
    index = pack.unpacked(first).index
    assert index["dct:subject"] == WHO
    assert {each["@type"] for each in index["dcat:distribution"]} == {"dcat:Distribution"}


def test_p5_progress_is_told_to_the_end(lived: Product) -> None:
    told: list[tuple[int, int]] = []
    archive(holding(lived), WHO, START, lambda done, of: told.append((done, of)))
    assert told[0][0] == 0
    assert told[-1] == (told[-1][1], told[-1][1])


def test_p6_of_nobody_there_is_no_archive(product: Product) -> None:
    with pytest.raises(NobodyError):
        archive(holding(product), "c99999", START)


def test_p6_who_never_spoke_gets_what_is_kept_of_them(product: Product) -> None:
    found = files(archive(holding(product), "c00050", START))
    assert {*found} == {"data/customer.json", "data/customer.csv"}


@pytest.fixture
def fresh(tmp_path: Path, seeded: Path) -> Iterator[CustomerRecords]:
    """Another house: its own ledger and keys, and the same table of customers."""
    home = tmp_path / "fresh"
    home.mkdir()
    shutil.copy(seeded / "customers.duckdb", home)
    yield from another(home)


def another(home: Path) -> Iterator[CustomerRecords]:
    from tests.bank import contracts

    source, scenes = contracts()
    ledger = Ledger.open(home, origin="other.example/consent")
    yield CustomerRecords(
        *(home, ledger, source, scenes),
        *(open_source(Settings(data_dir=home), source), catalogue.load()),
    )
    ledger.close()


@pytest.fixture(scope="module")
def newcomers(tmp_path_factory: pytest.TempPathFactory, seeded: Path) -> Iterator[CustomerRecords]:
    """Another house, that everybody moves to."""
    home = tmp_path_factory.mktemp("newcomers")
    shutil.copy(seeded / "customers.duckdb", home)
    yield from another(home)


@pytest.mark.parametrize("subject", [*SPOKEN])
def test_p10_export_import_export_is_byte_identical(
    subject: str, still: Product, newcomers: CustomerRecords
) -> None:
    assert still.ledger.history(subject)
    fresh = newcomers
    first = archive(holding(still), subject, START)
    taken = imported.take(fresh, first)
    assert (taken.subject, taken.left) == (subject, ())
    assert archive(fresh, subject, START + timedelta(days=400)) == first


def test_p10_with_reads_and_messages_too(lived: Product, fresh: CustomerRecords) -> None:
    first = archive(holding(lived), WHO, START)
    imported.take(fresh, first)
    assert archive(fresh, WHO, START) == first
    assert [*fsck(fresh.home)] == []


def test_p11_what_is_restored_is_the_agreement_as_class_d(
    lived: Product, fresh: CustomerRecords
) -> None:
    data = archive(holding(lived), WHO, START)
    taken = imported.take(fresh, data)
    before, after = lived.ledger.state(WHO), fresh.ledger.state(WHO)
    assert before is not None
    assert after is not None
    for name, held in before.scenes.items():
        there = after.scenes[name]
        assert getattr(there, "fields", None) == getattr(held, "fields", None)
        assert getattr(there, "until", None) == getattr(held, "until", None)
        assert there.at == held.at, "an import makes no consent younger"
    for each in fresh.ledger.history(WHO):
        assert each.event.evidence == EvidenceClass.IMPORTED
        if isinstance(each.event.act, Imported):
            assert each.event.act.source == f"archive:{taken.digest}"


def test_p12_taking_it_again_changes_nothing(lived: Product, fresh: CustomerRecords) -> None:
    data = archive(holding(lived), WHO, START)
    first = imported.take(fresh, data)
    size = fresh.ledger.size
    again = imported.take(fresh, data)
    assert (again.recorded, fresh.ledger.size) == (0, size)
    assert first.recorded > 0


def test_p13_what_the_customer_said_here_is_never_overwritten(
    lived: Product, fresh: CustomerRecords
) -> None:
    said = wording.wording(fresh.scenes["lead-scoring"], i18n.load()["en"])
    act = Granted("lead-scoring", ("age",), None)
    fresh.ledger.record([fresh.ledger.draft(WHO, act, at=START, wording=said)])
    before = lived.ledger.state(WHO)
    assert before is not None
    assert "lead-scoring" in before.scenes, "both houses must know the scene"
    taken = imported.take(fresh, archive(holding(lived), WHO, START))
    after = fresh.ledger.state(WHO)
    assert after is not None
    assert getattr(after.scenes["lead-scoring"], "fields", None) == {"age"}
    assert taken.left == ("lead-scoring: the customer decided here themselves",)


def test_p14_what_happened_since_makes_a_new_archive_that_holds_the_old(
    lived: Product, fresh: CustomerRecords
) -> None:
    data = archive(holding(lived), WHO, START)
    taken = imported.take(fresh, data)
    said = wording.wording(fresh.scenes["lead-scoring"], i18n.load()["en"])
    fresh.ledger.record(
        [fresh.ledger.draft(WHO, Withdrawn("lead-scoring"), at=START, wording=said)]
    )
    newer = archive(fresh, WHO, START)
    assert newer != data
    assert files(newer)[f"imported/{taken.digest}.zip"] == data


def test_p15_the_archive_is_kept_sealed_and_goes_with_the_customer(
    lived: Product, fresh: CustomerRecords
) -> None:
    data = archive(holding(lived), WHO, START)
    imported.take(fresh, data)
    kept = [p.read_bytes() for p in (fresh.home / "archives").rglob("*") if p.is_file()]
    assert len(kept) == 1
    assert WHO.encode() not in kept[0]
    fresh.ledger.erase(WHO, START)
    assert imported.stored(fresh, WHO) == {}


def tampered(data: bytes, name: str, change: bytes | None) -> bytes:
    """The archive with one file changed, and an index that agrees with it."""
    read = pack.unpacked(data)
    kept = {**read.files}
    if change is None:
        del kept[name]
    else:
        kept[name] = change
    described = {each["@id"]: each for each in read.index["dcat:distribution"]}
    parts = [
        ArchivePart(
            each, body, *(described[each][k] for k in ("dcat:mediaType", "dct:description"))
        )
        for each, body in kept.items()
    ]
    head = {k: v for k, v in read.index.items() if k.startswith("dct:") and k != "dct:conformsTo"}
    return pack.packed(head, parts)


def test_p16_an_archive_that_was_changed_is_refused(lived: Product, fresh: CustomerRecords) -> None:
    data = archive(holding(lived), WHO, START)
    found = files(data)
    assert tampered(data, "reads.csv", found["reads.csv"]) == data, "else this proves nothing"
    first = min(name for name in found if name.startswith("receipts/") and "state" not in name)
    bad = {
        "nothing": b"",
        "no ZIP": b"hello",
        "a byte of a file": data.replace(b"segmentation", b"Segmentation", 1),
        "cut off": data[:-40],
        "a scene more": tampered(
            data,
            "agreement.json",
            found["agreement.json"].replace(b'"fields": null', b'"fields": ["age"]'),
        ),
        "a receipt less": tampered(data, first, None),
        "a receipt of another": tampered(data, first, lived.ledger.receipt(0).encode()),
        "a history that was edited": tampered(
            data, "history.json", found["history.json"].replace(b"withdrawn", b"granted")
        ),
        "no policy": tampered(data, "trust/consent.policy", None),
    }
    for why, body in bad.items():
        with pytest.raises(ArchiveError):
            imported.take(fresh, body)
        assert fresh.ledger.size == 0, why


def test_p16_whatever_byte_is_changed_it_is_refused_or_says_the_same(
    lived: Product, fresh: CustomerRecords
) -> None:
    """Bytes of the ZIP's own, such as a time, say nothing: then all files are what they were."""
    data, random = archive(holding(lived), WHO, START), Random(1)
    want, same = pack.unpacked(data), 0
    for _ in range(300):
        at = random.randrange(len(data))
        changed = data[:at] + bytes([data[at] ^ random.randrange(1, 256)]) + data[at + 1 :]
        try:
            found = pack.unpacked(changed)
        except ArchiveError:
            continue
        assert (found.files, found.index) == (want.files, want.index)
        same += 1
    assert same < 100
    assert fresh.ledger.size == 0


@settings(max_examples=sized(33, 500))
@given(st.binary(max_size=200))
def test_p16_whatever_the_bytes_there_is_one_error(data: bytes) -> None:
    with pytest.raises(ArchiveError):
        pack.unpacked(data)


def test_p16_an_encrypted_archive_is_refused(lived: Product) -> None:
    data = bytearray(archive(holding(lived), WHO, START))
    with zipfile.ZipFile(io.BytesIO(bytes(data))) as file:
        place = file.start_dir
    data[6] |= 1
    data[place + 8] |= 1
    with pytest.raises(ArchiveError, match="want a ZIP"):
        pack.unpacked(bytes(data))


def test_p17_whoever_signed_it_must_be_one_the_operator_knows(
    lived: Product, fresh: CustomerRecords
) -> None:
    data = archive(holding(lived), WHO, START)
    ours = policy.parse((fresh.home / "consent.policy").read_bytes())
    with pytest.raises(ArchiveError, match="receipts do not verify"):
        imported.take(fresh, data, ours)
    theirs = policy.parse((lived.home / "consent.policy").read_bytes())
    assert imported.take(fresh, data, theirs).recorded > 0


def test_p18_the_commands_export_and_import(seeded: Path, tmp_path: Path) -> None:
    run, home, other = CliRunner(), tmp_path / "home", tmp_path / "other"
    shutil.copytree(seeded, home)
    other.mkdir()
    company_folder.remember(other, BANK)
    shutil.copy(seeded / "customers.duckdb", other)
    file, again = tmp_path / "a.zip", tmp_path / "b.zip"

    def done(*words: str) -> tuple[int, str]:
        result = run.invoke(app, [*words])
        return result.exit_code, result.output

    assert done("export-customer", SAID, str(file), "--data-dir", str(home))[0] == 0
    assert file.stat().st_mode & 0o077 == 0
    status, told = done("import-archive", str(file), "--data-dir", str(other))
    assert (status, "instructions of class D recorded" in told) == (0, True)
    assert done("export-customer", SAID, str(again), "--data-dir", str(other))[0] == 0
    assert again.read_bytes() == file.read_bytes()
    assert done("export-customer", "c99999", str(again), "--data-dir", str(home))[0] == 1
    file.write_bytes(b"no archive")
    assert done("import-archive", str(file), "--data-dir", str(other))[0] == 1
