"""Clauses I2, I20 and I21 of specs/portability.md: which files and columns an import reads.

Each table names siblings of a fault that was found once: {why: (input, what the refusal says)}.
"""

from pathlib import Path

import pytest

from ledger.events.reducer import SceneConsent, SceneWithdrawal
from tests.portal.imports.runs import GOOD, GRANT, HEAD, YOU, refused, run, state


def column(name: str, value: str = "x", head: str = HEAD, line: str = GRANT) -> str:
    return f"{head[:-1]},{name}\n{line[:-1]},{value}\n"


BAD_HEADS = {
    "status in another case": (GOOD.replace("status", "Status"), "'Status' is written 'status'"),
    "status and a space": (GOOD.replace("status", "status "), "'status ' is written 'status'"),
    "status with a byte order mark": (GOOD.replace("status", "\ufeffstatus"), "is written"),
    "status in full width": (GOOD.replace("status", "ｓｔａｔｕｓ"), "is written 'status'"),
    "status with an underscore": (GOOD.replace("status", "sta_tus"), "is written 'status'"),
    "status in quotes": (GOOD.replace("status", "'status'"), "is written 'status'"),
    "status with a zero-width space": (GOOD.replace("status", "status\u200b"), "is written"),
    "a subject in another case": (GOOD.replace("subject", "Subject"), "is written 'Subject'"),
    "two byte order marks": ("\ufeff\ufeff" + GOOD, "want the columns ['subject']"),
    "revoked": (column("revoked", "yes"), "ignore ="),
    "withdrawn_at": (column("withdrawn_at", "2026-04-01"), "ignore ="),
    "opt_out": (column("opt_out", "1"), "ignore ="),
    "expires": (column("expires", "2026-04-01"), "ignore ="),
    "valid_until": (column("valid_until", "2026-04-01"), "ignore ="),
    "a column of no known meaning": (column("shop"), "ignore ="),
    "a column without a name": (column(""), "ignore ="),
    "until in another case": (column("Until", "2026-04-01"), "'Until' is written 'until'"),
    "fields in another case": (column("Fields", "name"), "'Fields' is written 'fields'"),
    "status twice": (column("status", "withdrawn"), "['status'] twice"),
    "subject twice": (column("subject", YOU), "['subject'] twice"),
    "semicolons": (GOOD.replace(",", ";"), "want the columns"),
    "tabs": (GOOD.replace(",", "\t"), "want the columns"),
    "a line that names the separator": ("sep=,\n" + GOOD, "want the columns"),
}


@pytest.mark.parametrize("why", BAD_HEADS)
def test_i20_a_header_that_is_not_understood_is_refused(why: str, home: Path) -> None:
    text, message = BAD_HEADS[why]
    done = run(home, text)
    refused(home, done, message)
    assert "consents: line 1: want" in done.output


def test_i20_no_skip_makes_a_column_read(home: Path) -> None:
    refused(home, run(home, column("revoked", "yes"), "--skip-bad"), "ignore =")


def test_i20_a_declared_column_is_ignored(home: Path) -> None:
    done = run(home, column("shop"), mapping='ignore = ["shop"]')
    assert done.exit_code == 0, done.output
    assert isinstance(state(home), SceneConsent)


def test_i20_a_column_under_another_name_is_read_if_it_is_mapped(home: Path) -> None:
    text = f"subject,scene,at,Consent Status\n{GRANT.replace('granted', 'withdrawn')}"
    done = run(home, text, mapping='[columns]\nstatus = "Consent Status"\n')
    assert done.exit_code == 0, done.output
    assert isinstance(state(home), SceneWithdrawal)


BAD_MAPPINGS = {
    "a column that the file lacks": ('[columns]\nstatus = "ConsentStatus"', "['ConsentStatus']"),
    "an end that the file lacks": ('[columns]\nuntil = "ends"', "['ends']"),
    "a status of no meaning": ('[status]\nY = "yes"', "[status]"),
    "a scene that does not exist": ('[scenes]\nM = "spying"', "[scenes]"),
    "a scene nobody consents to": ('[scenes]\nM = "contract-service"', "[scenes]"),
    "an item that does not exist": ('[items]\nM = "shoe"', "[items]"),
    "an end that is none": ('[until]\nM = "never"', "[until]"),
    "a key of no meaning": ('[time]\nfromat = "%Y"', "[time]"),
    "a format without a year": ('[time]\nformat = "%d.%m."', "want a format"),
    "a format without a day": ('[time]\nformat = "%m/%Y"', "want a format"),
    "hours of half a day": ('[time]\nformat = "%Y-%m-%d %I:%M"', "want a format"),
    "seconds without minutes": ('[time]\nformat = "%Y-%m-%d %H %S"', "want a format"),
    "a zone by its name": ('[time]\nformat = "%Y-%m-%d %H:%M %Z"', "want a format"),
    "one column for two": ('[columns]\nat = "d"\nuntil = "d"', "['d'] twice"),
    "a column read and ignored": ('ignore = ["d"]\n[columns]\nat = "d"', "['d'] twice"),
    "an ignored column that the file lacks": ('ignore = ["shop"]', "['shop']"),
    "ignore is a text": ('ignore = "status"', "want a list of texts in ignore"),
    "a key twice": ('[status]\nY = "granted"\nY = "withdrawn"', "not valid TOML"),
    "another encoding": ("\udcff", "not valid TOML"),
    "nested without end": (f"x = {'[' * 100_000}", "not valid TOML"),
}


UNUSED = {
    "statuses without their column": '[status]\nJ = "granted"',
    "items without their column": '[items]\n"E-Mail" = "email"',
    "ends without their column": '[until]\nnever = "none"',
}


@pytest.mark.parametrize("why", UNUSED)
def test_i20_values_of_a_column_that_the_file_lacks_are_refused(why: str, home: Path) -> None:
    text = f"subject,scene,at\n{GRANT.replace(',granted', '')}"
    refused(home, run(home, text, mapping=UNUSED[why]), "whose values the mapping has")


@pytest.mark.parametrize("name", ["Status", "STATUS ", "Until", "fields "])
def test_i20_a_namesake_of_a_column_is_not_ignored_away(name: str, home: Path) -> None:
    text = f"subject,scene,at,{name}\n{GRANT}"
    refused(home, run(home, text, mapping=f'ignore = ["{name}"]'), "found it in ignore")


@pytest.mark.parametrize("why", BAD_MAPPINGS)
def test_i2_a_mapping_to_nothing_is_refused(why: str, home: Path) -> None:
    text, message = BAD_MAPPINGS[why]
    names = home.parent / "bad.toml"
    names.write_bytes(text.encode("utf-8", "surrogateescape"))
    refused(home, run(home, GOOD, "--mapping", str(names)), message)


# The file

BAD_FILES = {
    "empty": (b"", "line 1: want rows, found an empty file"),
    "white space": (b"\n \n\t\n", "found an empty file"),
    "a byte order mark alone": (b"\xef\xbb\xbf", "found an empty file"),
    "a header alone": (HEAD.encode(), "want at least one row"),
    "UTF-16": (GOOD.encode("utf-16"), "line 1: want UTF-8, found UTF-16"),
    "UTF-16 without a mark": (GOOD.encode("utf-16-le"), "line 1: want text, found a NUL byte"),
    "Latin-1": (GOOD.encode() + "ö".encode("latin-1"), "line 3: want UTF-8, found the byte 0xf6"),
    "a NUL byte": (GOOD.encode() + b"\0", "line 3: want text, found a NUL byte"),
    "an open quote": (GOOD.encode() + b'"c00042,segmentation\n', "line 3: want a row of CSV"),
    "text after a quote": (GOOD.encode() + b'"c00042"x,y\n', "line 3: want a row of CSV"),
}


@pytest.mark.parametrize("more", [(), ("--skip-bad",), ("--dry-run",)], ids=str)
@pytest.mark.parametrize("why", BAD_FILES)
def test_i21_a_file_that_is_not_understood_is_refused_whole(
    why: str, more: tuple[str, ...], home: Path
) -> None:
    data, message = BAD_FILES[why]
    done = run(home, data, *more)
    refused(home, done, message)
    assert len(done.output.strip().splitlines()) == 1


@pytest.mark.parametrize("end", ["\r\n", "\r", "\n\n"], ids=ascii)
def test_i21_every_line_end_is_read(end: str, home: Path) -> None:
    text = (GOOD + f"{YOU},direct-marketing,2026-03-01T09:00:00Z,withdrawn\n").replace("\n", end)
    assert run(home, text).exit_code == 0
    assert isinstance(state(home), SceneConsent)
    assert isinstance(state(home, YOU), SceneWithdrawal)


def test_i21_a_byte_order_mark_is_no_part_of_a_name(home: Path) -> None:
    assert run(home, b"\xef\xbb\xbf" + GOOD.encode()).exit_code == 0
    assert isinstance(state(home), SceneConsent)
