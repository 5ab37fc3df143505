"""No command shows a customer's value in an error: G104 of specs/gate.md.

Each case runs a command as a user does, on rows that contain SECRET in some place.
"""

import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
from typer.testing import CliRunner

from portal.commands import app
from portal.commands.errors import DEFECT, defect
from tests.bank import SCENES_FOLDER, SOURCE_CONTRACT
from tests.features.served import sovereign

SECRET = "2,143.77"
HEAD = "id,age,job,marital,education,balance,housing,loan,contact,month,poutcome,y"
GOOD = "x{},30,technician,single,tertiary,{},no,no,cellular,may,unknown,no"
SCENE = SCENES_FOLDER / "segmentation.odcs.yaml"
SOURCE = SOURCE_CONTRACT


def csv(folder: Path, *balances: str, encoding: str = "utf-8") -> Path:
    rows = [GOOD.format(place, each) for place, each in enumerate(balances)]
    path = folder / "rows.csv"
    path.write_text("\n".join([HEAD, *rows, ""]), encoding=encoding)
    return path


def fit(rows: Path, *options: str) -> tuple[int, str]:
    to = rows.parent / "o.json"
    words = ["--rows", rows, "--scene", SCENE, "--source", SOURCE, "--to", to]
    ran = CliRunner().invoke(app, ["synth", "fit", *map(str, words), *options])
    assert not to.exists()
    return ran.exit_code, ran.output


UNREADABLE = {
    "a thousands separator": f'"{SECRET}"',
    "a word": "NA",
    "a currency": "EUR 2143",
    "a day": "31.12.1980",
    "an underscore": "2_143",
    "a hexadecimal number": "0x10",
}


@pytest.mark.parametrize("why", UNREADABLE)
def test_a_number_that_is_none_is_counted_and_not_shown(why: str, tmp_path: Path) -> None:
    status, said = fit(csv(tmp_path, "5", UNREADABLE[why], UNREADABLE[why]))
    assert status == 1, said
    (line,) = said.strip().splitlines()
    assert line.startswith("column 'balance': 2 of 3 values are no number")
    assert UNREADABLE[why].strip('"') not in said


ENCODINGS = {"latin-1": "Müller", "gbk": "张伟", "utf-16": "Ada", "utf-16-le": "Ada"}


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_file_in_another_encoding_is_named_and_not_shown(encoding: str, tmp_path: Path) -> None:
    rows = csv(tmp_path, "5", encoding="utf-8")
    text = rows.read_text("utf-8").replace("technician", ENCODINGS[encoding])
    rows.write_bytes(text.encode(encoding))
    status, said = fit(rows)
    assert status == 2
    (line,) = said.strip().splitlines()
    assert "want UTF-8, found another encoding" in line
    assert ENCODINGS[encoding] not in said


def test_a_packed_csv_is_read_and_a_broken_one_is_named(tmp_path: Path) -> None:
    """It is unpacked to look at its encoding, as DuckDB does to read it."""
    plain = csv(tmp_path, "5", "NA").read_bytes()
    rows = tmp_path / "rows.csv.gz"
    rows.write_bytes(gzip.compress(plain))
    assert fit(rows) == (1, fit(csv(tmp_path, "5", "NA"))[1])
    rows.write_bytes(gzip.compress(plain)[:-9])
    status, said = fit(rows)
    assert (status, said.strip()) == (2, f"{rows} is a broken gzip file: pack it again")


FILES: dict[str, Callable[[Path], object]] = {
    "no Parquet": lambda path: path.write_bytes(SECRET.encode() * 9),
    "an empty file": lambda path: path.write_bytes(b""),
    "a text in Parquet": lambda path: duckdb.execute(
        f"COPY (SELECT 'x' AS id, 30 AS age, '{SECRET}' AS balance, 'a' AS job, 'a' AS marital,"
        " 'a' AS education, 'a' AS housing, 'a' AS loan, 'a' AS contact, 'a' AS month,"
        f" 'a' AS poutcome, 'a' AS y) TO '{path}' (FORMAT parquet)"
    ),
}


@pytest.mark.parametrize("why", FILES)
def test_a_parquet_file_that_cannot_be_used_is_named_and_not_shown(
    why: str, tmp_path: Path
) -> None:
    rows = tmp_path / "rows.parquet"
    FILES[why](rows)
    status, said = fit(rows)
    assert status in {1, 2}
    assert len(said.strip().splitlines()) == 1
    assert SECRET not in said


@pytest.mark.parametrize("option", ["--epsilon", "--delta"])
@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "-1", "0", "1e400"])
def test_a_loss_that_is_no_finite_number_above_0_is_refused(
    option: str, number: str, tmp_path: Path
) -> None:
    status, said = fit(csv(tmp_path, "5"), f"{option}={number}")
    assert status == 1
    assert f"{option} is {float(number)}, want a finite number above 0" in said


DELIVERIES = {
    "text": ("VARCHAR", f"'{SECRET}'", "found string, want timestamp"),
    "a date": ("DATE", "DATE '1980-12-31'", "found date, want timestamp"),
    "a number": ("INTEGER", "19801231", "found integer, want timestamp"),
    "null": ("TIMESTAMP", "NULL", "freshness"),
    "never": ("TIMESTAMP", "'infinity'", ""),
}


@pytest.mark.parametrize("why", DELIVERIES)
def test_a_delivery_that_is_no_time_is_named_and_not_shown(
    why: str, seeded: Path, tmp_path: Path
) -> None:
    kind, value, wanted = DELIVERIES[why]
    home = shutil.copytree(seeded, tmp_path / "home")
    with duckdb.connect(home / "customers.duckdb") as source:
        source.execute(f"CREATE TABLE delivery (system VARCHAR, as_of {kind}, arrived {kind})")
        source.execute(f"INSERT INTO delivery VALUES ('crm', {value}, {value})")
    ran = CliRunner().invoke(app, ["contracts", "check", "--data-dir", str(home)])
    said = ran.output
    assert ran.exit_code in {0, 2}
    assert wanted in said
    assert "Traceback" not in said
    assert SECRET not in said


def test_a_column_that_cannot_be_converted_is_not_shown(seeded: Path, tmp_path: Path) -> None:
    home = shutil.copytree(seeded, tmp_path / "home")
    with duckdb.connect(home / "customers.duckdb") as source:
        source.execute("ALTER TABLE customer RENAME TO raw")
        source.execute(
            "CREATE VIEW customer AS SELECT * REPLACE (CASE WHEN id = 'c00007' THEN"
            f" '{SECRET}'::INTEGER ELSE balance END AS balance) FROM raw"
        )
    ran = sovereign("contracts", "check", "--data-dir", home)
    assert ran.returncode == 2
    assert ran.stderr.strip() == (
        "the source cannot be read: ConversionException; nothing was checked"
    )


def test_an_unexpected_error_names_type_and_place_and_no_value() -> None:
    def fails() -> None:
        try:
            json.loads("{" + SECRET)
        except ValueError as error:
            raise ZeroDivisionError(SECRET) from error

    with pytest.raises(ZeroDivisionError) as raised:
        fails()
    said = defect(raised.value)
    assert SECRET not in said
    assert said.startswith("unexpected ZeroDivisionError from JSONDecodeError")
    assert "tests/portal/test_values_in_errors.py" in said
    assert "fails" in said


def test_an_unexpected_error_of_a_command_has_a_status_of_its_own(tmp_path: Path) -> None:
    """A release whose body is nested so deep that no reader of JSON takes it."""
    body = tmp_path / "deep.json"
    body.write_text("[" * 200_000, encoding="utf-8")
    ran = sovereign("synth", "sample", body, "--to", tmp_path / "o.parquet")
    assert ran.returncode in {2, DEFECT}
    assert "Traceback" not in ran.stderr
    assert len(ran.stderr.strip().splitlines()) == 1


COMMANDS = (
    ("jobs",),
    ("fsck",),
    ("contracts", "check"),
    ("erase", "c00001"),
    ("export-customer", "c00001", "o.zip"),
    ("serve",),
)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_mistyped_data_directory_is_one_line_and_creates_nothing(
    words: tuple[str, ...], tmp_path: Path
) -> None:
    gone = tmp_path / "dta"
    ran = sovereign(*words, *(() if words == ("fsck",) else ("--data-dir",)), gone)
    assert ran.returncode == 2, ran.stderr
    assert "Traceback" not in ran.stderr
    assert not gone.exists()
