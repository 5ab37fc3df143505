"""Clauses I8 and I22 to I24 of specs/portability.md: which rows an import takes.

Each table names siblings of a fault that was found once: {why: (input, what the refusal says)}.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ledger.events.reducer import SceneConsent, SceneWithdrawal
from tests.portal.imports.runs import GOOD, ME, SCENES, YOU, newcomers, refused, row, run, state

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
