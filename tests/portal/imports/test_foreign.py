"""Clauses I37 and I39 of specs/portability.md: files of other formats, and files that are cut off.

Each table has {why: (input, what the refusal says)}.
"""

import base64
import bz2
import gzip
import io
import json
import lzma
import zipfile
from pathlib import Path

import pytest

from ledger.events.reducer import SceneConsent
from tests.portal.imports.runs import GOOD, GRANT, ME, receipt, refused, run, state

NAMED = "want a CSV file with a mapping, or Kantara consent receipts 1.1 with --format kantara"


def zipped(*names: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in names:
            archive.writestr(name, GOOD)
    return out.getvalue()


def bits(*parts: tuple[int, int]) -> str:
    """Numbers of so many bits each in base64url."""
    text = "".join(f"{value:0{size}b}" for value, size in parts)
    text += "0" * (-len(text) % 24)
    whole = int(text, 2).to_bytes(len(text) // 8)
    return base64.urlsafe_b64encode(whole).decode().rstrip("=")


DECISECONDS = 17_723_556_000
TCF = bits(
    *((2, 6), (DECISECONDS, 36), (DECISECONDS, 36), (31, 12), (1, 12), (1, 6), (4, 6), (13, 6)),
    *((150, 12), (4, 6), (0, 120)),
)
FHIR = {"resourceType": "Consent", "id": "1", "status": "inactive"}
KEYCLOAK = {"realm": "shop", "users": [{"username": ME, "clientConsents": []}]}
DPV = {"@context": {"dpv": "https://w3id.org/dpv#"}, "@graph": []}

FOREIGN: dict[str, tuple[bytes, str]] = {
    "a PDF": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "a PDF document"),
    "a workbook": (zipped("[Content_Types].xml", "xl/workbook.xml"), "an Excel workbook (XLSX)"),
    "an old workbook": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(512), "an old Excel workbook"),
    "an OpenDocument sheet": (
        b"PK\x03\x04" + bytes(26) + b"mimetypeapplication/vnd.oasis.opendocument.spreadsheet",
        "an OpenDocument file",
    ),
    "a ZIP archive": (zipped("consents.csv"), "a ZIP archive"),
    "gzip": (gzip.compress(GOOD.encode()), "compressed with gzip: decompress it first"),
    "bzip2": (bz2.compress(GOOD.encode()), "compressed with bzip2"),
    "xz": (lzma.compress(GOOD.encode()), "compressed with xz"),
    "SQLite": (b"SQLite format 3\0" + bytes(84), "an SQLite database"),
    "Parquet": (b"PAR1" + bytes(8) + b"PAR1", "a Parquet file"),
    "HTML": (b"<!DOCTYPE html>\n<html></html>\n", "an HTML page"),
    "XML": (b"<?xml version='1.0'?>\n<consents/>\n", "an XML document"),
    "FHIR in XML": (
        b"<?xml version='1.0'?>\n<Consent xmlns='http://hl7.org/fhir'/>\n",
        "a FHIR resource in XML",
    ),
    "FHIR": (json.dumps(FHIR, indent=1).encode(), "a FHIR resource (Consent)"),
    "FHIR, one a line": ((json.dumps(FHIR) + "\n").encode() * 2, "a FHIR resource (Consent)"),
    "FHIR in a list": (json.dumps([FHIR]).encode(), "a FHIR resource (Consent)"),
    "a bundle": (b'{"resourceType": "Bundle", "entry": []}', "a FHIR resource (Bundle)"),
    "Keycloak": (json.dumps(KEYCLOAK).encode(), "an export of Keycloak"),
    "DPV": (json.dumps(DPV).encode(), "in the terms of ISO/IEC TS 27560 or DPV"),
    "a TC string": (TCF.encode(), "IAB Transparency and Consent Framework"),
    "TC strings": (f"{TCF}\n{TCF}.YAAAAAAAAAAA\n".encode(), "IAB Transparency and Consent"),
    "a GPP string": (f"DBABMA~{TCF}".encode(), "IAB Global Privacy Platform"),
}


@pytest.mark.parametrize("form", ["csv", "kantara"])
@pytest.mark.parametrize("why", FOREIGN)
def test_i37_a_file_of_another_format_is_named(why: str, form: str, home: Path) -> None:
    data, what = FOREIGN[why]
    done = run(home, data, "--format", form)
    refused(home, done, f"consents: {NAMED}, found what looks like ")
    assert what in done.output
    assert len(done.output.strip().splitlines()) == 1


def test_i37_receipts_that_are_declared_as_csv_are_named(home: Path) -> None:
    for text in (json.dumps(receipt()), json.dumps([receipt()], indent=1)):
        refused(home, run(home, text), "Kantara consent receipts: add --format kantara")


def test_i37_a_csv_file_that_is_declared_as_receipts_is_named(home: Path) -> None:
    done = run(home, GOOD, "--format", "kantara")
    refused(home, done, "leave out --format kantara if it is a CSV file")


EXPORTS = {
    "HubSpot": "Record ID,Email,Unsubscribed from all email\n1,a@b.example,false\n",
    "HubSpot, its own names": "vid,email,hs_email_optout\n1,a@b.example,\n",
    "OneTrust": "Data Subject Identifier,Collection Point Name,Purpose\na@b.example,Web,Mail\n",
}


@pytest.mark.parametrize("why", EXPORTS)
def test_i37_an_export_of_a_known_product_is_named(why: str, home: Path) -> None:
    done = run(home, EXPORTS[why])
    refused(home, done, "This looks like an export of " + why.partition(",")[0])
    assert "line 1: want the columns" in done.output


def test_i37_an_export_whose_columns_are_mapped_is_imported(home: Path) -> None:
    text = f"Record ID,Use,hs_email_optout,Signed\n{ME},direct-marketing,false,2026-03-01\n"
    mapping = """
        [columns]
        subject = "Record ID"
        scene = "Use"
        status = "hs_email_optout"
        at = "Signed"
        [status]
        false = "granted"
        """
    assert run(home, text, mapping=mapping).exit_code == 0
    assert isinstance(state(home), SceneConsent)


UNMARKED = {
    "a word": "consent\n",
    "an id that begins with C": f"{'C' * 60}\n",
    "JSON of no known kind": '{"consents": []}\n',
    "JSON that is cut off": '{"resourceType": "Cons',
    "a resource without a type": '{"resourceType": 7}\n',
}


@pytest.mark.parametrize("why", UNMARKED)
def test_i37_without_an_unmistakable_mark_nothing_is_named(why: str, home: Path) -> None:
    done = run(home, UNMARKED[why])
    refused(home, done, "consents: line 1: want")
    assert "looks like" not in done.output


CUT_OFF = {
    "in the customer's number": f"scene,at,subject\ndirect-marketing,2026-03-01,{ME}",
    "in the end": f"subject,scene,at,until\n{ME},direct-marketing,2026-03-01,",
    "in the items": f"subject,scene,at,fields\n{ME},direct-marketing,2026-03-01,name",
    "in a file with carriage returns": GOOD.replace("\n", "\r")[:-1],
    "after a row in quotes": GOOD + '"' + GRANT[:-1].replace(",", '","') + '"',
}


@pytest.mark.parametrize("more", [(), ("--skip-bad",)], ids=str)
@pytest.mark.parametrize("why", CUT_OFF)
def test_i39_a_file_whose_last_line_does_not_end_may_be_cut_off(
    why: str, more: tuple[str, ...], home: Path
) -> None:
    """`c00041` may be the beginning of `c000412`, and no end that of an end."""
    done = run(home, CUT_OFF[why], *more)
    refused(home, done, "want a line break after the last row")
    assert f"line {3 if 'quotes' in why else 2}:" in done.output
    assert run(home, CUT_OFF[why] + "\n").exit_code == 0


SEPARATED = {";": "';'", "\t": "'\\t'", "|": "'|'"}


@pytest.mark.parametrize("separator", SEPARATED)
def test_i20_another_separator_is_named(separator: str, home: Path) -> None:
    done = run(home, GOOD.replace(",", separator))
    refused(home, done, f"write commas between the cells instead of {SEPARATED[separator]}")


def test_i20_no_column_has_two_meanings(home: Path) -> None:
    done = run(home, GOOD, mapping='[columns]\nstatus = "scene"\n[status]\n"x" = "granted"\n')
    refused(home, done, "want each column for one meaning, found ['scene'] for two")
