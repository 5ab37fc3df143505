"""Clauses I2 to I5, I8 and I20 to I32 of specs/portability.md: an import guesses nothing.

Each table names siblings of a fault that was found once: {why: (input, what the refusal says)}.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from ledger.events.envelope import Imported
from ledger.events.reducer import SceneConsent, SceneWithdrawal
from ledger.service import Ledger
from ledger.vault import tombstones
from portal.commands import app
from portal.imports import csv_file, kantara, moment
from portal.imports.mapping import MappingError, Names
from portal.imports.moment import DAY, SECOND, MomentError
from portal.operations.wiring import contracts
from tests.campaign import sized
from tests.portal.conftest import SAID, START

ME, YOU = "c00041", "c00042"
SCENES = contracts()[1]
HEAD = "subject,scene,at,status\n"
GRANT = f"{ME},direct-marketing,2026-03-01T09:00:00Z,granted\n"
GOOD = HEAD + GRANT


@pytest.fixture
def home(seeded: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(seeded, tmp_path / "home"))


def run(home: Path, text: str | bytes, *more: str, mapping: str | None = None) -> Result:
    file = home.parent / "consents"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    words = ["import-consents", str(file), "--source", "crm", "--data-dir", str(home)]
    if mapping is not None:
        (home.parent / "names.toml").write_text(mapping, "utf-8")
        words += ["--mapping", str(home.parent / "names.toml")]
    done = CliRunner().invoke(app, [*words, *more])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def size(home: Path) -> int:
    ledger = Ledger.reopen(home)
    found = ledger.size
    ledger.close()
    return found


def state(home: Path, subject: str = ME, scene: str = "direct-marketing") -> Any:
    """What is recorded of the customer on the scene; None if nothing."""
    ledger = Ledger.reopen(home)
    found = ledger.state(subject)
    ledger.close()
    return found.scenes.get(scene) if found else None


def refused(home: Path, done: Result, message: str) -> None:
    assert done.exit_code == 1, done.output
    assert message in done.output
    assert newcomers(home) == set(), "something was recorded"


def newcomers(home: Path) -> set[str]:
    """The customers who gave an instruction and had given none in the seeded ledger."""
    ledger = Ledger.reopen(home)
    found = {each for each in ledger.subjects() if ledger.history(each)}
    ledger.close()
    return {each for each in found if each > SAID}


# The header


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


# Rows


def row(**cells: str) -> str:
    """A file with one row and these cells instead of the good ones."""
    good = {
        "subject": ME,
        "scene": "direct-marketing",
        "at": "2026-03-01T09:00:00Z",
        "status": "granted",
    }
    whole = good | cells
    return f"{','.join(whole)}\n{','.join(whole.values())}\n"


BAD_ROWS: Mapping[str, tuple[str, str]] = {
    "no status": (row(status=""), "want granted or withdrawn"),
    "a space for a status": (row(status=" "), "want granted or withdrawn"),
    "a status in capitals": (row(status="GRANTED"), "want granted or withdrawn"),
    "a status and a space": (row(status="granted "), "want granted or withdrawn"),
    "a status of two": (row(status="granted/withdrawn"), "want granted or withdrawn"),
    "a number for a status": (row(status="1"), "want granted or withdrawn"),
    "a cell more": (GOOD.replace("granted", "granted,withdrawn"), "as in the header, 4, found 5"),
    "a cell less": (GOOD.replace(",granted", ""), "as in the header, 4, found 3"),
    "no fields": (row(fields=""), "want items of direct-marketing, found none"),
    "spaces for fields": (row(fields="  "), "found none"),
    "separators alone": (row(fields=";;"), "found none"),
    "a field and a separator": (row(fields="name;"), "found none"),
    "an unknown field": (row(fields="name;shoe size"), "found 'shoe size'"),
    "a field in capitals": (row(fields="Name"), "found 'Name'"),
    "a field twice": (row(fields="name;email;name"), "found 'name' twice"),
    "all and one": (row(fields="*;name"), "found '*'"),
    "fields by comma": (row(fields='"name,email"'), "found 'name,email'"),
    "a scene in capitals": (row(scene="Direct-Marketing"), "want a scene"),
    "a scene and a space": (row(scene="direct-marketing "), "want a scene"),
    "two scenes": (row(scene="direct-marketing;segmentation"), "want a scene"),
    "no scene": (row(scene=""), "want a scene"),
    "no time": (row(at=""), "want a time"),
    "a time without a zone": (row(at="2026-03-01T09:00:00"), "want a time"),
    "the basic form": (row(at="20260301"), "want a time"),
    "the basic form with a time": (row(at="20260301T090000Z"), "want a time"),
    "a week": (row(at="2026-W09-7"), "want a time"),
    "another separator": (row(at="2026-03-01x09:00:00Z"), "want a time"),
    "a comma for a point": (row(at='"2026-03-01T09:00:00,5Z"'), "want a time"),
    "seconds in the zone": (row(at="2026-03-01T09:00:00+01:00:30"), "want a time"),
    "an hour alone": (row(at="2026-03-01T09Z"), "want a time"),
    "a day that is none": (row(at="2026-02-30"), "want a time"),
    "the hour 24": (row(at="2026-03-01T24:00:00Z"), "want a time"),
    "other digits": (row(at="２０２６-03-01"), "want a time"),
    "a space in front": (row(at=" 2026-03-01"), "want a time"),
    "an American date": (row(at="03/01/2026"), "want a time"),
    "a spreadsheet's number": (row(at="46082"), "want a time"),
    "seconds since 1970": (row(at="1772355600"), "want a time"),
    "before 1970": (row(at="1969-12-31"), "want a time since 1970"),
    "the year 1": (row(at="0001-01-01T00:00:00+14:00"), "want a time"),
    "in the future": (row(at="2999-03-01"), "want a time of the past"),
    "an end of words": (row(until="never"), "map it in [until]"),
    "an infinite end": (row(until="infinity"), "map it in [until]"),
    "a duration": (row(until="1 year"), "map it in [until]"),
    "a space for an end": (row(until=" "), "map it in [until]"),
    "a dash for an end": (row(until="-"), "map it in [until]"),
    "an end without a zone": (row(until="2027-03-01T09:00:00"), "map it in [until]"),
    "an end before the start": (row(until="2026-02-28"), "want an end after"),
    "an end at the start": (row(until="2026-03-01T09:00:00Z"), "want an end after"),
    "an end of the same minute": (row(until="2026-03-01T09:00:59Z"), "want an end after"),
    "an empty id": (row(subject=""), "want a customer's number"),
    "an id with a space behind": (row(subject=f"{ME} "), f"the nearest is '{ME}'"),
    "an id with a space in front": (row(subject=f" {ME}"), f"the nearest is '{ME}'"),
    "an id with a protected space": (row(subject=f"{ME}\u00a0"), "want a customer's number"),
    "an id in capitals": (row(subject=ME.upper()), f"the nearest is '{ME}'"),
    "an id in full width": (row(subject="ｃ０００４１"), f"the nearest is '{ME}'"),
    "an id with a hyphen": (row(subject="c-00041"), f"the nearest is '{ME}'"),
    "an id as a formula": (row(subject=f'"=""{ME}"""'), f"the nearest is '{ME}'"),
    "an id with an apostrophe": (row(subject=f"'{ME}"), f"the nearest is '{ME}'"),
    "an id with a zero-width space": (row(subject=f"{ME}\u200b"), "want a customer's number"),
    "an id that nobody has": (row(subject="c99999"), "found 'c99999': correct it"),
    "a number that was shortened": (row(subject="1.23457E+11"), "a spreadsheet shortened"),
    "a formula's number": (row(subject='"=""00123"""'), "want a customer of the source"),
    "an apostrophe's number": (row(subject="'00123"), "want a customer of the source"),
    "an id too long": (row(subject="c" * 201), "want a customer's number"),
}


@pytest.mark.parametrize("why", BAD_ROWS)
def test_i22_a_row_that_is_not_understood_is_refused(why: str, home: Path) -> None:
    text, message = BAD_ROWS[why]
    done = run(home, text)
    refused(home, done, message)
    assert "consents: line 2: want" in done.output


def test_i22_subjects_are_compared_in_the_form_of_the_source(tmp_path: Path, home: Path) -> None:
    """NFC and NFD, and a number that lost its zeros."""
    import duckdb

    with duckdb.connect(str(home / "customers.duckdb")) as database:
        database.execute("UPDATE customer SET id = 'José' WHERE id = 'c00050'")
        database.execute("UPDATE customer SET id = '00123' WHERE id = 'c00051'")
    for found, nearest in {"Jose\u0301": "José", "123": "00123", "123.0": "00123"}.items():
        refused(home, run(home, row(subject=found)), f"the nearest is '{nearest}'")
    assert run(home, row(subject="José")).exit_code == 0
    assert run(home, row(subject="00123")).exit_code == 0


def test_i22_without_a_source_nobody_can_be_looked_up(home: Path) -> None:
    (home / "customers.duckdb").unlink()
    done = run(home, GOOD)
    assert (done.exit_code, "no file with customers' rows" in done.output) == (2, True)
    assert newcomers(home) == set()


MAPPED_STATUSES = {
    "an empty one is withdrawn": ("", '[status]\n"" = "withdrawn"', SceneWithdrawal),
    "an empty one is granted": ("", '[status]\n"" = "granted"', SceneConsent),
    "a word of ours is turned round": (
        "granted",
        '[status]\ngranted = "withdrawn"',
        SceneWithdrawal,
    ),
    "another one": ("N", '[status]\nJ = "granted"\nN = "withdrawn"', SceneWithdrawal),
}


@pytest.mark.parametrize("why", MAPPED_STATUSES)
def test_i8_a_mapped_status_is_honoured(why: str, home: Path) -> None:
    text, mapping, kind = MAPPED_STATUSES[why]
    assert run(home, row(status=text), mapping=mapping).exit_code == 0
    assert isinstance(state(home), kind)


def test_i8_a_status_outside_the_mapping_is_refused(home: Path) -> None:
    refused(home, run(home, row(status="X"), mapping='[status]\nJ = "granted"'), "found 'X'")


def test_i23_every_item_is_said_in_so_many_words(home: Path) -> None:
    assert run(home, row(fields="*")).exit_code == 0
    assert state(home).fields == {*SCENES["direct-marketing"].fields}


def test_i23_a_mapping_says_what_an_empty_cell_means(home: Path) -> None:
    assert run(home, row(fields=""), mapping='[items]\n"" = "name"').exit_code == 0
    assert state(home).fields == {"name"}


def test_i23_two_names_of_one_item_are_one(home: Path) -> None:
    mapping = '[items]\n"E-Mail" = "email"\nMail = "email"'
    assert run(home, row(fields="E-Mail;Mail"), mapping=mapping).exit_code == 0
    assert state(home).fields == {"email"}


def test_i23_a_withdrawal_needs_no_items(home: Path) -> None:
    assert run(home, row(fields="", status="withdrawn")).exit_code == 0
    assert isinstance(state(home), SceneWithdrawal)


def test_i24_a_mapping_says_what_the_words_of_an_end_mean(home: Path) -> None:
    mapping = '[until]\n"1 year" = "2027-03-01"\nnever = "none"'
    text = row(until="1 year") + row(until="never", subject=YOU).split("\n", 1)[1]
    assert run(home, text, mapping=mapping).exit_code == 0
    assert state(home).until == datetime(2027, 3, 1, tzinfo=UTC)
    assert state(home, YOU).until is None


# Order

MOMENTS = {
    "2026-03-01": (datetime(2026, 3, 1, tzinfo=UTC), DAY),
    "2026-03-01T09:00Z": (datetime(2026, 3, 1, 9, tzinfo=UTC), 60 * SECOND),
    "2026-03-01 09:00:01+01:00": (datetime(2026, 3, 1, 8, 0, 1, tzinfo=UTC), SECOND),
    "2026-03-01T09:00:01.25Z": (datetime(2026, 3, 1, 9, 0, 1, tzinfo=UTC), SECOND // 100),
    "2026-03-01T09:00:01.123456789-00:30": (datetime(2026, 3, 1, 9, 30, 1, tzinfo=UTC), 1),
}


@pytest.mark.parametrize("text", MOMENTS)
def test_i25_a_moment_is_as_exact_as_it_is_written(text: str) -> None:
    found = moment.parse(text)
    assert (found.at, found.length) == MOMENTS[text]


def test_i25_no_digit_of_a_second_is_lost() -> None:
    first, second = (moment.parse(f"2026-03-01T09:00:01.{n}Z") for n in ("123456788", "123456789"))
    assert first.begin + 1 == second.begin
    assert not first.overlaps(second)


FORMATS = {
    "%d.%m.%Y": ("1.3.2026", DAY),
    "%d.%m.%Y %H:%M": ("01.03.2026 09:00", 60 * SECOND),
    "%Y%m%d": ("20260301", DAY),
    "%m/%d/%Y %I:%M:%S %p": ("03/01/2026 09:00:00 AM", SECOND),
    "%Y-%m-%d %H:%M:%S.%f %z": ("2026-03-01 09:00:00.000001 +0000", 1000),
}


@pytest.mark.parametrize("form", FORMATS)
def test_i25_a_declared_format_is_as_exact_as_its_finest_part(form: str) -> None:
    text, length = FORMATS[form]
    moment.require_format(form)
    found = moment.parse(text, form)
    assert (found.at.date().isoformat(), found.length) == ("2026-03-01", length)


@pytest.mark.parametrize("text", ["2026111", "202611", "２０２６0301", "2026-03-01"])
def test_i25_a_format_reads_nothing_in_two_ways(text: str) -> None:
    with pytest.raises(MomentError):
        moment.parse(text, "%Y%m%d")


CONTRADICTIONS = (
    "%d.%m.%Y %b",  # 01.02.2026 Mar
    "%Y-%m-%d %j",
    "%Y-%m-%d %y",
    "%Y-%m-%d %H %I %p",
    "%A %a %Y-%m-%d",
)


@pytest.mark.parametrize("form", CONTRADICTIONS)
def test_i25_a_format_names_nothing_twice(form: str) -> None:
    with pytest.raises(MomentError):
        moment.require_format(form)


def test_i25_a_day_of_the_week_must_be_that_of_the_date() -> None:
    assert moment.parse("Sun 01.03.2026", "%a %d.%m.%Y").length == DAY
    with pytest.raises(MomentError):
        moment.parse("Mon 01.03.2026", "%a %d.%m.%Y")


@pytest.mark.parametrize("text", ["9", "95", "90000"])
def test_i25_a_declared_fraction_has_six_digits(text: str) -> None:
    with pytest.raises(MomentError):
        moment.parse(f"2026-03-01 10:00:00.{text}", "%Y-%m-%d %H:%M:%S.%f")


@pytest.mark.parametrize("at", ["9999-12-31T23:59:59-01:00", "9999-12-31", "9998-12-31T23:59:60Z"])
def test_i25_a_time_beyond_what_is_recorded_is_a_bad_row(at: str, home: Path) -> None:
    for cells in ({"at": at}, {"at": "2026-03-01T09:00:00Z", "until": at}):
        head = "subject,scene,at,status,until\n"
        line = f"{ME},direct-marketing,{cells['at']},granted,{cells.get('until', '')}\n"
        refused(home, run(home, head + line), "want a time")


LATER_FILES = {
    "a day, and a time of it": ("2026-03-01", "2026-03-01T12:00:00Z", None),
    "a day after a grant of it": ("2026-03-01", "2026-03-01T23:59:58Z", None),
    "an hour, and a time of it": ("01.03.2026 10", "01.03.2026 10", "%d.%m.%Y %H"),
    "a minute, and a second of it": ("2026-03-01T10:00Z", "2026-03-01T10:00:30Z", None),
}


@pytest.mark.parametrize("why", LATER_FILES)
def test_i26_how_exact_a_withdrawal_was_is_not_forgotten(why: str, home: Path) -> None:
    ended, given, form = LATER_FILES[why]
    mapping = None if form is None else f'[time]\nformat = "{form}"\n'
    if why == "a day after a grant of it":
        assert run(home, row(at="2026-03-01T10:00:05Z")).exit_code == 0
    assert run(home, row(at=ended, status="withdrawn"), mapping=mapping).exit_code == 0
    at = "2026-03-01T10:30:00Z" if form else given
    assert run(home, row(at=at)).exit_code == 0
    assert isinstance(state(home), SceneWithdrawal)
    assert run(home, row(at="2026-03-02T09:00:00Z")).exit_code == 0
    assert isinstance(state(home), SceneConsent), "a grant that is certainly later counts"


def two(first: str, second: str, *, statuses: tuple[str, str] = ("withdrawn", "granted")) -> str:
    lines = (
        f"{ME},direct-marketing,{at},{status}\n"
        for at, status in zip((first, second), statuses, strict=True)
    )
    return HEAD + "".join(lines)


ORDERED = {
    "tenths of a second": ("2026-03-01T10:00:00.9Z", "2026-03-01T10:00:00.1Z"),
    "different digits": ("2026-03-01T10:00:00.900Z", "2026-03-01T10:00:00.10Z"),
    "nanoseconds": ("2026-03-01T10:00:00.000000002Z", "2026-03-01T10:00:00.000000001Z"),
    "different zones": ("2026-03-01T10:00:00Z", "2026-03-01T10:59:59+01:00"),
    "a day, and a time of the day before": ("2026-03-02", "2026-03-01T23:59:59Z"),
    "days": ("2026-03-02", "2026-03-01"),
}


@pytest.mark.parametrize("why", ORDERED)
def test_i26_the_later_statement_counts_whatever_the_order_of_the_lines(
    why: str, home: Path
) -> None:
    assert run(home, two(*ORDERED[why])).exit_code == 0
    assert isinstance(state(home), SceneWithdrawal)


CONFLICTS = {
    "one second": ("2026-03-01T10:00:00Z", "2026-03-01T10:00:00Z"),
    "one fraction": ("2026-03-01T10:00:00.5Z", "2026-03-01T10:00:00.50Z"),
    "one second in two zones": ("2026-03-01T10:00:00Z", "2026-03-01T11:00:00+01:00"),
    "one day": ("2026-03-01", "2026-03-01"),
    "a day and a time in it": ("2026-03-01", "2026-03-01T18:00:00Z"),
    "a time in a day, and the day": ("2026-03-01T18:00:00Z", "2026-03-01"),
    "a minute and a second in it": ("2026-03-01T10:00Z", "2026-03-01T10:00:30Z"),
    "a second and a fraction in it": ("2026-03-01T10:00:00Z", "2026-03-01T10:00:00.9Z"),
}


@pytest.mark.parametrize("statuses", [("withdrawn", "granted"), ("granted", "withdrawn")])
@pytest.mark.parametrize("why", CONFLICTS)
def test_i26_opposite_statements_that_cannot_be_put_in_order_are_refused(
    why: str, statuses: tuple[str, str], home: Path
) -> None:
    text = two(*CONFLICTS[why], statuses=statuses)
    refused(home, run(home, text), "found a withdrawal, which stands, in line")
    assert run(home, text, "--skip-bad").exit_code == 0
    assert isinstance(state(home), SceneWithdrawal), "the withdrawal stands"


@pytest.mark.parametrize("why", CONFLICTS)
def test_i26_nor_is_a_grant_taken_from_a_second_file(why: str, home: Path) -> None:
    first, second = CONFLICTS[why]
    assert run(home, row(at=first, status="withdrawn")).exit_code == 0
    done = run(home, row(at=second))
    assert "cannot be told" in done.output or "newer" in done.output
    assert isinstance(state(home), SceneWithdrawal)


@pytest.mark.parametrize("why", CONFLICTS)
def test_i26_a_withdrawal_of_a_second_file_stands(why: str, home: Path) -> None:
    first, second = CONFLICTS[why]
    assert run(home, row(at=second)).exit_code == 0
    text = row(at=first, status="withdrawn")
    assert run(home, text).exit_code == 0
    assert isinstance(state(home), SceneWithdrawal)
    recorded = size(home)
    run(home, text + "\n")
    assert size(home) == recorded


def test_i26_two_consents_of_one_moment_must_agree(home: Path) -> None:
    lines = [row(fields="name"), row(fields="name;email").split("\n", 1)[1]]
    refused(home, run(home, "".join(lines)), "found a different consent in line")


def test_i26_a_line_that_stands_twice_is_recorded_once(home: Path) -> None:
    before = size(home)
    assert run(home, GOOD + GRANT).exit_code == 0
    assert size(home) == before + 1


def test_i26_aliases_of_one_scene_are_one_scene(home: Path) -> None:
    mapping = '[scenes]\nMAIL = "direct-marketing"\nPOST = "direct-marketing"'
    text = two("2026-03-01", "2026-03-01").replace("direct-marketing", "MAIL", 1)
    refused(
        home, run(home, text.replace("direct-marketing", "POST"), mapping=mapping), "one answer"
    )


# --skip-bad, --dry-run, twice


def test_i27_no_grant_is_recorded_of_somebody_whose_other_row_is_bad(home: Path) -> None:
    """The bad row is the withdrawal of the consent of the first one."""
    text = (
        f"{HEAD}{ME},segmentation,2026-03-01T09:00:00Z,granted\n"
        f"{ME} ,segmentation,2026-04-01T09:00:00Z,withdrawn\n"
        f"{ME.upper()},segmentation,2026-04-02T09:00:00Z,withdrawn\n"
        f"{YOU},segmentation,2026-04-02T09:00:00Z,granted\n"
        f"{YOU},lead-scoring,2026-04-02T09:00:00Z,withdrawn\n"
    )
    done = run(home, text, "--skip-bad")
    assert (done.exit_code, done.output.count("skipped: line")) == (0, 3)
    assert state(home, ME, "segmentation") is None
    assert isinstance(state(home, YOU, "segmentation"), SceneConsent)


NOBODYS = {
    "a record over two lines": f"{YOU},segmentation\n2026-04-01T09:00:00Z,withdrawn\n",
    "a comma in the time": f"Apr 1, 2026,{ME},segmentation,withdrawn\n",
    "a remark beside the number": f"{ME} (closed),segmentation,2026-04-01,withdrawn\n",
    "no number": ",segmentation,2026-04-01,withdrawn\n",
}


@pytest.mark.parametrize("why", NOBODYS)
def test_i27_a_bad_row_of_nobody_in_particular_spoils_every_grant(why: str, home: Path) -> None:
    good = f"{ME},segmentation,2026-03-01T09:00:00Z,granted\n"
    run(home, HEAD + good + NOBODYS[why], "--skip-bad")
    assert state(home, ME, "segmentation") is None


def test_i27_somebody_the_source_does_not_know_spoils_nothing(home: Path) -> None:
    good = f"{ME},segmentation,2026-03-01T09:00:00Z,granted\n"
    other = "c99999,segmentation,2026-04-01,withdrawn\n"
    assert run(home, HEAD + good + other, "--skip-bad").exit_code == 0
    assert isinstance(state(home, ME, "segmentation"), SceneConsent)


SPOILT = {
    "a status": f"{ME},segmentation,2026-04-01T09:00:00Z,ended\n",
    "a scene": f"{ME},everything,2026-04-01T09:00:00Z,withdrawn\n",
    "a time": f"{ME},segmentation,spring,withdrawn\n",
    "a cell less": f"{ME},segmentation,2026-04-01T09:00:00Z\n",
}


@pytest.mark.parametrize("why", SPOILT)
def test_i27_whatever_was_wrong_with_it(why: str, home: Path) -> None:
    good = f"{ME},segmentation,2026-03-01T09:00:00Z,granted\n"
    ended = f"{ME},lead-scoring,2026-03-01T09:00:00Z,withdrawn\n"
    done = run(home, HEAD + good + ended + SPOILT[why], "--skip-bad")
    assert done.exit_code == 0
    assert "found the bad line 4, which may end this consent" in done.output
    assert state(home, ME, "segmentation") is None
    assert isinstance(state(home, ME, "lead-scoring"), SceneWithdrawal), "it is safe to record"


def test_i28_a_dry_run_counts_and_records_nothing(home: Path) -> None:
    before = {p: p.read_bytes() for p in (home / "keys").iterdir()}
    entries = size(home)
    text = GOOD + f"{YOU},segmentation,2026-03-01T09:00:00Z,withdrawn\n"
    done = run(home, text, "--dry-run")
    assert done.exit_code == 0, done.output
    for line in (
        "dry run of consents: nothing was recorded",
        "rows: 2, bad: 0",
        "status: granted 1, withdrawn 1",
        "scene: direct-marketing 1, segmentation 1",
        "evidence class: D 2",
        "would be recorded: 2 instructions",
    ):
        assert line in done.output.splitlines()
    assert (size(home), state(home), state(home, YOU)) == (entries, None, None)
    assert {p: p.read_bytes() for p in (home / "keys").iterdir()} == before


def test_i28_a_dry_run_names_the_first_bad_rows(home: Path) -> None:
    bad = "".join(f"c9{n:04},segmentation,2026-03-01,granted\n" for n in range(30))
    done = run(home, GOOD + bad, "--dry-run")
    assert (done.exit_code, "rows: 31, bad: 30" in done.output) == (1, True)
    assert "consents: line 3: want a customer of the source, found 'c90000'" in done.output
    assert done.output.count("consents: line") == 20
    assert "and 10 more" in done.output
    assert state(home) is None


def test_i28_a_dry_run_says_what_an_erasure_passes_over(home: Path) -> None:
    run(home, GOOD)
    erase(home)
    done = run(home, GOOD, "--dry-run")
    assert "older than an erasure of their customer: 1" in done.output
    assert "would be recorded: 0 instructions" in done.output


def test_i5_a_row_is_recorded_once_whatever_else_is_in_the_file(home: Path) -> None:
    text = GOOD + f"{ME},segmentation,2026-02-01,granted\n{ME},segmentation,2026-02-02,withdrawn\n"
    assert run(home, text).exit_code == 0
    recorded = size(home)
    for again in (text, text + "\n", text.replace("\n", "\r\n")):
        done = run(home, again)
        assert (done.exit_code, "imported before" in done.output) == (0, True), done.output
        assert "skipped" not in done.output
        assert size(home) == recorded
    more = text + f"{YOU},segmentation,2026-02-01,granted\n"
    assert "1 instructions" in run(home, more).output
    assert size(home) == recorded + 1


@pytest.mark.parametrize("source", ["", "  ", "a\nb"])
def test_i1_a_source_has_a_name(source: str, home: Path) -> None:
    file = home.parent / "consents"
    file.write_text(GOOD)
    words = ["import-consents", str(file), "--source", source, "--data-dir", str(home)]
    done = CliRunner().invoke(app, words)
    assert (done.exit_code, "--source" in done.output) == (2, True)


# Receipts


def receipt(purpose: Mapping[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    good = {
        "purpose": "direct-marketing",
        "consentType": "EXPLICIT",
        "piiCategory": ["name", "email"],
        "primaryPurpose": True,
        "termination": "2027-03-01T00:00:00Z",
        "thirdPartyDisclosure": False,
    }
    return {
        "version": "KI-CR-v1.1.0",
        "jurisdiction": "EU",
        "consentTimestamp": 1772355600,
        "collectionMethod": "Web Form",
        "consentReceiptID": "5c1c3a7e-0000-4000-8000-000000000001",
        "language": "en",
        "piiPrincipalId": ME,
        "piiControllers": [],
        "policyUrl": "https://bank.example/p",
        "services": [{"service": "crm", "purposes": [good | dict(purpose or {})]}],
        "sensitive": False,
        "spiCat": [],
    } | changes


def without(name: str) -> dict[str, Any]:
    """A receipt whose purpose lacks a member."""
    made = receipt()
    del made["services"][0]["purposes"][0][name]
    return made


def inside(member: str, value: Any = "x") -> dict[str, Any]:
    """A receipt with one member more in its service."""
    made = receipt()
    made["services"][0][member] = value
    return made


BAD_RECEIPTS = {
    "revoked": receipt(state="REVOKED"),
    "revoked, in other letters": receipt(State="Revoked"),
    "withdrawn": receipt(status="Withdrawn"),
    "expired": receipt(consentStatus="expired"),
    "active": receipt(state="ACTIVE"),
    "a state that is null": receipt(state=None),
    "a nested state": receipt(consent={"state": "REVOKED"}),
    "a state of the service": inside("state", "REVOKED"),
    "a state of the purpose": receipt({"state": "REVOKED"}),
    "a state of the controller": receipt(piiControllers=[{"state": "REVOKED"}]),
    "an expiry": receipt(expiry="2026-04-01"),
    "a validity": receipt(validUntil="2026-04-01"),
    "a validity of the purpose": receipt({"validUntil": "2026-04-01"}),
    "a withdrawal": receipt(withdrawal={"at": "2026-04-01"}),
    "a termination of the receipt": receipt(termination="2026-04-01"),
    "a termination of the service": inside("termination", "2026-04-01"),
    "a member whose name differs in case": receipt({"Termination": "2026-04-01"}),
    "a member of no known meaning": receipt(tenantDomain="carbon.super"),
    "an end of words": receipt({"termination": "1 year"}),
    "an empty end": receipt({"termination": ""}),
    "an end that is null": receipt({"termination": None}),
    "an end that is a number": receipt({"termination": 1803859200}),
    "no end": without("termination"),
    "an end without a zone": receipt({"termination": "2027-03-01T00:00:00"}),
    "an end before the start": receipt({"termination": "2025-03-01"}),
    "no items": receipt({"piiCategory": []}),
    "no list of items": without("piiCategory"),
    "items that are a text": receipt({"piiCategory": "name"}),
    "items that are objects": receipt({"piiCategory": [{"piiCatName": "name"}]}),
    "an item twice": receipt({"piiCategory": ["name", "name"]}),
    "an unknown item": receipt({"piiCategory": ["name", "shoe size"]}),
    "an empty item": receipt({"piiCategory": [""]}),
    "consent in another case": receipt({"consentType": "Explicit"}),
    "consent that is implied": receipt({"consentType": "IMPLICIT"}),
    "no type of consent": without("consentType"),
    "a number for the customer": receipt(piiPrincipalId=41),
    "a customer in capitals": receipt(piiPrincipalId=ME.upper()),
    "a customer and a space": receipt(piiPrincipalId=f"{ME} "),
    "nobody of the source": receipt(piiPrincipalId="c99999"),
    "milliseconds": receipt(consentTimestamp=1772355600000),
    "a negative time": receipt(consentTimestamp=-1),
    "a time that is null": receipt(consentTimestamp=None),
    "a time that is true": receipt(consentTimestamp=True),
    "a time without a zone": receipt(consentTimestamp="2026-03-01T09:00:00"),
    "a time to come": receipt(consentTimestamp="2999-03-01T09:00:00Z"),
    "a version that is a number": receipt(version=1),
    "an ISO 27560 record": {"schema_version": "1.0", "record_id": "1", "state": "withdrawn"},
    "services that are an object": receipt(services={}),
    "services that are null": receipt(services=None),
    "a service that is a list": receipt(services=[[]]),
    "a purpose that is a text": receipt(services=[{"service": "x", "purposes": ["p"]}]),
    "a service without purposes": receipt(services=[{"service": "x"}]),
    "a state inside the policy": receipt(policyUrl={"state": "REVOKED"}),
    "a state inside the method": receipt(collectionMethod={"m": "web", "state": "REVOKED"}),
    "a state inside a category": receipt(spiCat=[{"state": "REVOKED"}]),
    "a state for a category": receipt(spiCat=["revoked"]),
    "a state for the jurisdiction": receipt(jurisdiction="REVOKED 2026-04-01"),
    "a state for sensitive": receipt(sensitive={"consentStatus": "withdrawn"}),
    "a state inside the address": receipt(piiControllers=[{"address": {"state": "REVOKED"}}]),
    "a state inside the service": inside("service", {"name": "crm", "state": "REVOKED"}),
    "a state of the category": receipt({"purposeCategory": [{"state": "REVOKED"}]}),
    "an expiry inside a third party": receipt({"thirdPartyName": {"expiry": "2026-04-01"}}),
    "words of an end in a third party": receipt({"thirdPartyName": "consent withdrawn in April"}),
    "an end after the last year": receipt({"termination": "9999-12-31T23:59:59-01:00"}),
    "a list for a receipt": [receipt()],
    "a text for a receipt": "receipt",
    "a number for a receipt": 7,
    "null for a receipt": None,
}


@pytest.mark.parametrize("why", BAD_RECEIPTS)
def test_i29_a_receipt_that_is_not_understood_is_refused(why: str, home: Path) -> None:
    text = json.dumps([receipt(piiPrincipalId=YOU), BAD_RECEIPTS[why]])
    refused(home, run(home, text, "--format", "kantara"), "consents: line 2: want")


GOOD_RECEIPT = json.dumps(receipt())
NO_JSON = {
    "a member twice": GOOD_RECEIPT.replace('"language"', '"piiPrincipalId": "c00042", "language"'),
    "a nested member twice": GOOD_RECEIPT.replace(
        '"consentType"', '"consentType": "IMPLICIT", "consentType"'
    ),
    "a member twice in escapes": GOOD_RECEIPT.replace(
        '"language"', '"l\\u0061nguage": "de", "language"'
    ),
    "NaN": GOOD_RECEIPT.replace("1772355600", "NaN"),
    "infinity": GOOD_RECEIPT.replace("1772355600", "Infinity"),
    "a fraction": GOOD_RECEIPT.replace("1772355600", "1772355600.5"),
    "an exponent": GOOD_RECEIPT.replace("1772355600", "17723556e2"),
    "a number of many digits": GOOD_RECEIPT.replace("1772355600", "9" * 5000),
    "lists nested deep": "[" * 100_000,
    "objects nested deep": '{"a":' * 100_000,
    "deep and whole": "[" * 5000 + "]" * 5000,
    "half a surrogate": GOOD_RECEIPT.replace(ME, "\\ud800"),
    "cut off": GOOD_RECEIPT[:-5],
    "two on one line": GOOD_RECEIPT + GOOD_RECEIPT,
    "a bad second line": f"{GOOD_RECEIPT}\n{GOOD_RECEIPT[:-5]}\n",
    "a second line with a member twice": f'{GOOD_RECEIPT}\n{{"a": 1, "a": 2}}\n',
    "an empty list": "[]",
}


@pytest.mark.parametrize("why", NO_JSON)
def test_i29_what_is_no_strict_json_is_refused_whole(why: str, home: Path) -> None:
    done = run(home, NO_JSON[why], "--format", "kantara")
    refused(home, done, "want")
    assert len(done.output.strip().splitlines()) == 1


def test_i29_a_duplicate_member_is_named(home: Path) -> None:
    done = run(home, NO_JSON["a nested member twice"], "--format", "kantara")
    assert "the duplicate keys ['consentType']" in done.output


NO_TEXT = {
    "Latin-1": GOOD_RECEIPT.replace("Web", "Büro").encode("latin-1"),
    "UTF-16": GOOD_RECEIPT.encode("utf-16"),
    "UTF-16 without a mark": GOOD_RECEIPT.encode("utf-16-le"),
    "UTF-32": GOOD_RECEIPT.encode("utf-32-be"),
    "nothing": b"",
}


@pytest.mark.parametrize("why", NO_TEXT)
def test_i29_receipts_are_utf_8(why: str, home: Path) -> None:
    data = NO_TEXT[why]
    if why == "Latin-1":
        data = json.dumps(receipt(jurisdiction="Büro"), ensure_ascii=False).encode("latin-1")
    done = run(home, data, "--format", "kantara")
    refused(home, done, "line 1: want")
    assert len(done.output.strip().splitlines()) == 1


STATES = '[columns]\nstatus = "state"\n[status]\nACTIVE = "granted"\nREVOKED = "withdrawn"\n'


@pytest.mark.parametrize(
    ("found", "kind"), [("ACTIVE", SceneConsent), ("REVOKED", SceneWithdrawal)]
)
def test_i29_a_mapping_says_where_the_status_of_a_receipt_is(
    found: str, kind: type, home: Path
) -> None:
    text = json.dumps(receipt(state=found, tenantDomain="carbon.super"))
    mapping = f'ignore = ["tenantDomain"]\n{STATES}'
    assert run(home, text, "--format", "kantara", mapping=mapping).exit_code == 0
    assert isinstance(state(home), kind)


BAD_STATES = {
    "another state": receipt(state="EXPIRED"),
    "no state": receipt(),
    "a state that is no text": receipt(state=True),
    "another one in the purpose": receipt({"state": "REVOKED"}, state="ACTIVE"),
}


@pytest.mark.parametrize("why", BAD_STATES)
def test_i29_a_declared_status_must_be_there_and_known(why: str, home: Path) -> None:
    done = run(home, json.dumps(BAD_STATES[why]), "--format", "kantara", mapping=STATES)
    refused(home, done, "line 1: want")


def test_i29_states_without_their_member_are_refused(home: Path) -> None:
    mapping = '[status]\nREVOKED = "withdrawn"'
    done = run(home, json.dumps(receipt()), "--format", "kantara", mapping=mapping)
    refused(home, done, "want the member with the status")


def test_i29_a_nul_in_an_id_is_one_bad_row(home: Path) -> None:
    done = run(home, json.dumps(receipt(piiPrincipalId="c\0")), "--format", "kantara")
    refused(home, done, "line 1: want a customer's number")


def test_i29_receipts_have_no_other_columns(home: Path) -> None:
    mapping = '[columns]\nuntil = "expiry"'
    done = run(home, json.dumps(receipt()), "--format", "kantara", mapping=mapping)
    refused(home, done, "want only status in [columns]")


# Whatever the bytes

WORDS = (
    *("subject", "scene", "at", "status", "until", "fields", ME, "direct-marketing", "granted"),
    *("2026-03-01", "2026-03-01T09:00:00Z", ",", "\n", "\r", '"', ";", "\0", " ", "*", "{", "}"),
    *("[", "]", ":", "version", "services", "purposes", "piiCategory", "1", "-1"),
)
NEAR = st.lists(st.sampled_from(WORDS), max_size=60).map("".join)
BYTES = st.binary(max_size=200) | NEAR.map(str.encode)
PARSERS = {"csv": csv_file.rows, "kantara": kantara.rows}


@pytest.mark.parametrize("form", PARSERS)
@settings(max_examples=sized(300, 20_000))
@given(data=BYTES)
def test_i32_whatever_the_bytes_a_parser_has_one_error(form: str, data: bytes) -> None:
    with suppress(MappingError):
        assert all(e.place > 0 for e in PARSERS[form](data, Names(), SCENES, START))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)
PLACES = [*receipt(), *(f"services/{each}" for each in receipt()["services"][0]["purposes"][0])]


@settings(max_examples=sized(300, 20_000))
@given(place=st.sampled_from(PLACES), value=VALUES)
def test_i32_whatever_a_member_is_a_receipt_has_one_error(place: str, value: Any) -> None:
    inner = place.removeprefix("services/")
    made = receipt({inner: value}) if inner != place else receipt(**{place: value})
    with suppress(MappingError):
        assert [*kantara.rows(json.dumps(made).encode(), Names(), SCENES, START)]


@settings(max_examples=sized(300, 20_000))
@given(
    text=st.text(max_size=30) | st.from_regex(moment._ISO),
    form=st.none() | st.sampled_from([*FORMATS]),
)
def test_i32_whatever_the_text_a_time_has_one_error(text: str, form: str | None) -> None:
    with suppress(MomentError):
        assert moment.parse(text, form).begin >= 0


# Erasure


def erase(home: Path, subject: str = ME) -> None:
    done = CliRunner().invoke(app, ["erase", subject, "--data-dir", str(home)])
    assert done.exit_code == 0, done.output


def test_i30_an_old_export_brings_nobody_back(home: Path) -> None:
    week1 = f"subject,scene,at\n{ME},direct-marketing,2026-03-01\n"
    assert run(home, week1).exit_code == 0
    erase(home)
    done = run(home, f"{week1}{YOU},direct-marketing,2026-03-02\n")
    assert done.exit_code == 0
    assert "skipped: line 2: given before the customer was erased here" in done.output
    assert "1 rows are older than an erasure" in done.output
    assert "1 instructions of class D recorded" in done.output
    assert state(home) is None
    assert isinstance(state(home, YOU), SceneConsent)
    ledger = Ledger.reopen(home)
    assert ME not in ledger.subjects(), "no key is made for somebody who was erased"
    ledger.close()


def test_i30_nor_does_the_very_same_file(home: Path) -> None:
    run(home, GOOD)
    erase(home)
    done = run(home, GOOD)
    assert (done.exit_code, "1 rows are older" in done.output) == (0, True)
    assert state(home) is None


def erased_on(home: Path, at: datetime) -> None:
    """ME gave an instruction and was erased at `at`."""
    run(home, row(at="2026-01-01"))
    ledger = Ledger.reopen(home)
    ledger.erase(ME, at)
    ledger.close()


AFTER = {
    "2026-05-01T11:59:59Z": False,
    "2026-05-01T12:00:00Z": False,  # within the second of the erasure
    "2026-05-01T12:00:00.999Z": False,
    "2026-05-01T12:00Z": False,  # within the minute
    "2026-05-01": False,  # within the day
    "2026-05-01T12:00:01Z": True,
    "2026-05-01T14:00:01+02:00": True,
    "2026-05-02": True,
}


@pytest.mark.parametrize("at", AFTER)
def test_i30_who_came_back_is_taken(at: str, home: Path) -> None:
    erased_on(home, datetime(2026, 5, 1, 12, tzinfo=UTC))
    assert run(home, row(at=at)).exit_code == 0
    assert isinstance(state(home), SceneConsent) is AFTER[at]


def test_i30_nor_is_an_old_withdrawal_recorded(home: Path) -> None:
    erased_on(home, datetime(2026, 5, 1, 12, tzinfo=UTC))
    assert run(home, row(status="withdrawn")).exit_code == 0
    assert state(home) is None


DAMAGES = {
    "the key of the tombstones is lost": lambda home: (home / "keys" / tombstones.KEY).unlink(),
    "the tombstones are lost": lambda home: (home / tombstones.NAME).unlink(),
}


@pytest.mark.parametrize("why", DAMAGES)
def test_i30_who_was_erased_must_be_known(why: str, home: Path) -> None:
    run(home, GOOD)
    erase(home)
    DAMAGES[why](home)
    before = size(home)
    done = run(home, GOOD)
    assert (done.exit_code, "restore" in done.output) == (2, True)
    assert len(done.output.strip().splitlines()) == 1
    assert size(home) == before


def test_i30_a_data_directory_from_before_tombstones_works(home: Path) -> None:
    (home / "keys" / tombstones.KEY).unlink()
    assert run(home, GOOD).exit_code == 0
    erase(home)
    assert "1 rows are older" in run(home, GOOD).output


def exported(home: Path, subject: str = ME) -> Path:
    path = home.parent / f"{subject}.zip"
    words = ["export-customer", subject, str(path), "--data-dir", str(home)]
    assert CliRunner().invoke(app, words).exit_code == 0
    return path


def brought(home: Path, archive: Path) -> Result:
    done = CliRunner().invoke(app, ["import-archive", str(archive), "--data-dir", str(home)])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def test_i31_an_archive_from_before_the_erasure_is_refused(home: Path) -> None:
    run(home, GOOD)
    archive = exported(home)
    erase(home)
    before = size(home)
    done = brought(home, archive)
    assert (done.exit_code, "was erased here after" in done.output) == (1, True)
    assert (size(home), state(home)) == (before, None)
    assert not [*(home / "archives").rglob("*.sealed")]


def test_i31_of_an_archive_what_was_given_after_the_erasure_is_taken(
    home: Path, seeded: Path
) -> None:
    """The customer went on elsewhere: one scene before the erasure here, one after it."""
    other = Path(shutil.copytree(seeded, home.parent / "other"))
    text = row(at="2026-03-01") + f"{ME},segmentation,2026-06-01,granted\n"
    assert run(other, text).exit_code == 0
    archive = exported(other)
    erased_on(home, datetime(2026, 5, 1, 12, tzinfo=UTC))
    done = brought(home, archive)
    assert done.exit_code == 0, done.output
    assert "direct-marketing: given before the customer was erased here" in done.output
    assert state(home) is None
    assert isinstance(state(home, ME, "segmentation"), SceneConsent)


def test_i31_an_archive_leaves_a_tombstone_too(home: Path, seeded: Path) -> None:
    """Somebody who came with an archive and was erased does not come back with it."""
    other = Path(shutil.copytree(seeded, home.parent / "other"))
    run(other, GOOD)
    archive = exported(other)
    assert brought(home, archive).exit_code == 0
    erase(home)
    assert brought(home, archive).exit_code == 1
    assert state(home) is None


def test_i31_an_archive_of_nobody_in_the_source_is_refused(home: Path, seeded: Path) -> None:
    import duckdb

    other = Path(shutil.copytree(seeded, home.parent / "other"))
    run(other, GOOD)
    archive = exported(other)
    with duckdb.connect(str(home / "customers.duckdb")) as database:
        database.execute("DELETE FROM customer WHERE id = ?", [ME])
    done = brought(home, archive)
    assert (done.exit_code, "customer of the source" in done.output) == (1, True)
    assert state(home) is None


def test_i32_the_installed_command_prints_one_line_and_no_traceback(home: Path) -> None:
    """Started as an operator starts it; the output is not UTF-8."""
    file = home.parent / "export.csv"
    file.write_text(row(subject="ｃ０００４１"), "utf-8")
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "portal.cli", "import-consents", str(file)),
            *("--source", "crm", "--data-dir", str(home)),
        ],
        capture_output=True,
        text=True,
        check=False,
        encoding="utf-8",
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
    )
    assert ran.returncode == 1
    assert "Traceback" not in ran.stderr
    assert "export.csv: line 2: want a customer of the source" in ran.stderr


def test_i1_the_source_of_each_is_named(home: Path) -> None:
    run(home, GOOD)
    ledger = Ledger.reopen(home)
    (only,) = ledger.history(ME)
    ledger.close()
    assert isinstance(only.event.act, Imported)
    assert only.event.act.source.startswith("crm ")
    assert only.event.at < START
