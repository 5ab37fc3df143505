"""A user's mistake on the command line: one or two plain lines, exit status 2, nothing created.

Each command runs with a mistyped data directory, with files that are missing or malformed, and with
names and settings that do not exist.
"""

import json
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from ledger.vault.vault import VaultError
from portal.commands import app
from portal.commands.errors import DEFECT
from portal.operations import open_ledger
from tests.bank import BANK
from tests.ledger.worlds import AGE, opened, say

LINES = 2  # that a message takes at most


@dataclass(frozen=True)
class Places:
    """`home`: a ledger. `typo`: no folder of this name. `junk`: a file of no known format."""

    root: Path
    home: Path
    typo: Path
    missing: Path
    junk: Path
    rows: Path

    def fill(self, arguments: str) -> list[str]:
        names = ("home", "typo", "missing", "junk", "rows", "root")
        return arguments.format(**{name: getattr(self, name) for name in names}).split()

    def files(self) -> set[str]:
        """Every path, without SQLite's side files, which come and go with a connection."""
        found = (path.relative_to(self.root).as_posix() for path in self.root.rglob("*"))
        return {name for name in found if not name.endswith(("-wal", "-shm"))}


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    home = tmp_path / "home"
    ledger = opened(home)
    say(ledger, "c1", AGE)
    ledger.close()
    (tmp_path / "junk").write_bytes(b"\x00not\x00this\n{]")
    (tmp_path / "rows.csv").write_text("age,job\n1,x\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SOVEREIGN_COMPANY", str(BANK))
    return Places(
        tmp_path,
        home,
        tmp_path / "dta",
        tmp_path / "no-such-file",
        tmp_path / "junk",
        tmp_path / "rows.csv",
    )


def run(places: Places, arguments: str) -> Result:
    return CliRunner().invoke(app, places.fill(arguments))


def refused(done: Result) -> str:
    """What the command printed, which must be a message and no traceback."""
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    assert done.exit_code == 2, done.output
    assert "Traceback" not in done.output
    assert 1 <= len(done.output.strip().splitlines()) <= LINES, done.output
    return done.output


TYPED_WRONG = {
    "apply": "apply --data-dir {typo}",
    "audit": "audit {typo} --key {home}/keys/consent.vkey",
    "audit-states": "audit-states {typo} {typo} --policy {home}/state.policy"
    " --consent-policy {home}/consent.policy",
    "budget verify": "budget verify {typo}",
    "consent-record": "consent-record {junk} --demo --data-dir {typo}",
    "contracts check": "contracts check --data-dir {typo}",
    "customers deleted": "customers deleted c1 --data-dir {typo}",
    "customers merge": "customers merge c1 c2 --data-dir {typo}",
    "customers rename": "customers rename c1 c2 --data-dir {typo}",
    "customers split": "customers split c1 c2 --data-dir {typo}",
    "doctor": "doctor --data-dir {typo}",
    "erase": "erase c1 --data-dir {typo}",
    "evidence": "evidence c1 1 {root}/out --data-dir {typo}",
    "export": "export {root}/out --data-dir {typo}",
    "export-consent": "export-consent {root}/out --by me --reason test --data-dir {typo}",
    "export-customer": "export-customer c1 {root}/out --data-dir {typo}",
    "fsck": "fsck --data-dir {typo}",
    "backup": "backup {root}/out --without-keys --data-dir {typo}",
    "gate announce": "gate announce --data-dir {typo}",
    "gate serve": "gate serve --data-dir {typo}",
    "hold lift": "hold lift c1 --reason x --data-dir {typo}",
    "hold set": "hold set c1 --reason x --data-dir {typo}",
    "import-consents": "import-consents {junk} --source x --data-dir {typo}",
    "jobs": "jobs --data-dir {typo}",
    "named-files": "named-files {root}/out --data-dir {typo}",
    "note-draw": f"note-draw {'0' * 64} --by x --from 2026-01-01T00:00:00Z"
    " --to 2026-02-01T00:00:00Z --sample 3 --data-dir {typo}",
    "open-entries": "open-entries {junk} --out {root}/out --data-dir {typo}",
    "transitions": "transitions {root}/out --data-dir {typo}",
    "jobs as JSON": "jobs --json --data-dir {typo}",
    "processing-record": "processing-record astrology --demo --data-dir {typo}",
    "keys issue": "keys issue x --data-dir {typo}",
    "keys list": "keys list --data-dir {typo}",
    "keys revoke": "keys revoke x --data-dir {typo}",
    "keys rotate": "keys rotate x --data-dir {typo}",
    "keys uses": "keys uses x --data-dir {typo}",
    "manifest affected": "manifest affected --data-dir {typo}",
    "manifest make": "manifest make m --data-dir {typo}",
    "manifest verify": "manifest verify {junk} --data-dir {typo}",
    "plan": "plan --data-dir {typo}",
    "replay": "replay --data-dir {typo}",
    "clock": "clock --data-dir {typo}",
    "migrate": "migrate --data-dir {typo}",
    "rotate-key": "rotate-key --data-dir {typo}",
    "serve": "serve --data-dir {typo}",
    "state-proof": "state-proof c1 --data-dir {typo}",
    "steward cases": "steward cases --data-dir {typo}",
    "steward notices": "steward notices --data-dir {typo}",
    "steward register": "steward register x --data-dir {typo}",
    "steward replay": "steward replay --data-dir {typo}",
    "steward run": "steward run --data-dir {typo}",
    "vault rotate-kek": "vault rotate-kek --data-dir {typo}",
    "vault reindex": "vault reindex --data-dir {typo}",
}


@pytest.mark.parametrize("command", TYPED_WRONG)
def test_a_mistyped_folder_is_named_and_neither_created_nor_called_empty(
    command: str, places: Places
) -> None:
    before = places.files()
    told = refused(run(places, TYPED_WRONG[command]))
    assert str(places.typo) in told
    assert places.files() == before


def test_every_command_with_a_data_directory_is_tried() -> None:
    """Beyond those which make a data directory where there is none."""
    from typer.main import get_command

    tried = {name.removesuffix(" as JSON") for name in TYPED_WRONG}
    assert {*with_data_directory(get_command(app), "")} - tried == {
        "demo",
        "import-archive",
        "restore",
    }


def with_data_directory(command: Any, name: str) -> list[str]:
    """The names of all commands below `command` that have the option."""
    if not hasattr(command, "commands"):
        return [name] if any("--data-dir" in each.opts for each in command.params) else []
    below = ((each, f"{name} {key}".strip()) for key, each in command.commands.items())
    return [found for pair in below for found in with_data_directory(*pair)]


# arguments, and what the message names
WRONG_FILES = {
    "an audit without its key file": ("audit {home} --key {missing}", "no-such-file"),
    "an audit under a policy that is none": ("audit {home} --policy {junk}", "not audited"),
    "a log without a checkpoint": ("budget verify {home}", "cannot be read as a log"),
    "no receipt": ("consent-record {missing} --demo", "want a receipt"),
    "a receipt that is a folder": ("consent-record {home} --demo", "found a folder"),
    "no older receipt": (
        "evidence c1 1 {root}/out --kept {missing} --data-dir {home}",
        "want a receipt",
    ),
    "no archive": ("import-archive {missing} --data-dir {typo}", "want a customer's archive"),
    "an archive without its policy": (
        "import-archive {junk} --policy {missing} --data-dir {typo}",
        "want a policy",
    ),
    "no consents": (
        "import-consents {missing} --source x --data-dir {home}",
        "want a file of consents",
    ),
    "consents without their mapping": (
        "import-consents {rows} --source x --mapping {missing} --data-dir {home}",
        "want a mapping",
    ),
    "no manifest": ("manifest verify {missing} --data-dir {home}", "want a manifest"),
    "no policy to replay under": ("replay --policy {missing} --data-dir {root}", "no-such-file"),
    "a source that is missing": ("gate serve --data-dir {home}", "customers.duckdb"),
    "a witness without a key": ("witness serve --key {missing} --log {missing}", "not serving"),
    "a witness with a key that is none": ("witness serve --key {junk} --log {junk}", "not serving"),
    "no rows": (
        "synth fit --rows {missing} --scene {junk} --source {junk} --to {root}/r.json",
        "want a Parquet or CSV file",
    ),
    "no scene contract": (
        "synth fit --rows {rows} --scene {missing} --source {junk} --to {root}/r.json",
        "want a scene contract",
    ),
    "no source contract": (
        "synth fit --rows {rows} --scene {junk} --source {missing} --to {root}/r.json",
        "want a source contract",
    ),
    "no release": ("synth sample {missing} --to {root}/s.parquet", "public record"),
    "a release that is none": ("synth sample {junk} --to {root}/s.parquet", "is not the public"),
    "a report on no release": (
        "synth report {missing} --rows {rows} --to {root}/r.html",
        "public record",
    ),
    "no records": ("synth budget {missing} --limit segmentation=1/8", "public records"),
    "records that are none": ("synth budget {junk} --limit segmentation=1/8", "JSON"),
    "records without a format": ("synth budget {rows} --limit segmentation=1/8", "JSON"),
}


@pytest.mark.parametrize("why", WRONG_FILES)
def test_a_file_that_is_missing_or_malformed_is_named(why: str, places: Places) -> None:
    arguments, wanted = WRONG_FILES[why]
    if "--data-dir {root}" in arguments:  # a folder with a read log
        (places.root / "reads" / "reads-1").mkdir(parents=True)
        (places.root / "reads" / "reads-1" / "log.sqlite").touch()
    before = places.files()
    assert wanted in refused(run(places, arguments))
    assert places.files() == before


WRITING = (  # commands that write a file of the operator's choice
    "evidence c1 1 {out} --data-dir {home}",
    "export-consent {out} --by me --reason test --data-dir {home}",
    "export-customer c1 {out} --data-dir {home}",
    "processing-record {scene} --demo --out {out} --data-dir {home}",
    "state-proof c1 --out {out} --data-dir {home}",
    "transitions {out} --data-dir {home}",
)


@pytest.mark.parametrize("command", WRITING, ids=lambda each: each.split()[0])
def test_no_file_of_a_data_directory_is_replaced_and_nothing_that_is_no_file(
    command: str, places: Places
) -> None:
    """The ledger, a key of its map, a link to somewhere else."""
    link = places.root / "link"
    link.symlink_to(places.root / "elsewhere")
    own = [places.home / "keys" / "consent.vkey", *places.home.glob("*.sqlite")]
    before = {each: each.read_bytes() for each in own}
    asked = command.replace("{scene}", "contract-service")
    for out in (*own, link):
        said = refused(run(places, asked.replace("{out}", str(out))))
        assert "replace nothing" in said or f"{link} is not a file" in said
    assert {each: each.read_bytes() for each in own} == before
    assert link.is_symlink()
    assert not (places.root / "elsewhere").exists()


WRONG_NAMES = {
    "a scene": ("manifest make m --scene spying --data-dir {home}", "no scene 'spying'"),
    "an item": ("manifest make m --field shoe_size --data-dir {home}", "no item shoe_size"),
    "a read log": ("replay reads-9 --data-dir {home}", "no read log"),
    "a service's key": ("steward register x --data-dir {home}", "not a verifier key"),
    "a name with a space": ("keygen a+b {root}/keys", "has a space or plus"),
    "a witness's name": ("witness keygen a+b --key {root}/key", "has a space or plus"),
    "a limit": ("synth budget {records} --limit segmentation=much", "much"),
}


@pytest.mark.parametrize("why", WRONG_NAMES)
def test_a_name_that_does_not_exist_is_named(why: str, places: Places) -> None:
    arguments, wanted = WRONG_NAMES[why]
    records = places.root / "records.jsonl"
    records.write_text("")
    before = places.files()
    assert wanted in refused(run(places, arguments.replace("{records}", str(records))))
    assert places.files() == before


WRONG_SETTINGS = {
    "an unknown job": ("JOB_EVERY_S", {"publicaton": 5}, "found publicaton, want one of"),
    "a job without a pause": ("JOB_EVERY_S", {"publication": 0}, "job_every_s.publication"),
    "a quota of nobody": ("QUOTA", {"nobody/segmentation": {}}, "found nobody/segmentation"),
    "a quota of an unknown kind": ("QUOTA", {"default": {"pints": 1}}, "pints"),
    "an alert under its earlier name": (
        "QUOTA",
        {"analytics/segmentation": {"rows_per_day": 9, "points_told": 5}},
        "points_told is now called points_alert",
    ),
    "a share under its earlier name": (
        "QUOTA",
        {"default": {"share_told": 0.5}},
        "share_told is now called share_alert",
    ),
    "a table's share under its earlier name": (
        "QUOTA",
        {"default": {"table_share_told": 0.5}},
        "table_share_told is now called table_share_alert",
    ),
    "a way for letters": ("MAIL", "pigeon:roof", "want smtp://host:port"),
    "a source that is missing": ("SOURCE", "/no/such.duckdb", "no file with customers' rows at"),
    "a port": ("PORT", "70000", "port"),
    "an origin for consent alone": ("CONSENT_ORIGIN", "https://c.example", "login_origin"),
}


@pytest.mark.parametrize("command", ["serve", "gate serve"])
@pytest.mark.parametrize("why", WRONG_SETTINGS)
def test_a_setting_that_cannot_be_used_is_named_before_anything_is_created(
    why: str, command: str, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, value, wanted = WRONG_SETTINGS[why]
    if (why, command) == ("an unknown job", "gate serve"):  # which runs no jobs
        wanted = "customers.duckdb"
    text = value if isinstance(value, str) else json.dumps(value)
    monkeypatch.setenv(f"SOVEREIGN_{name}", text)
    before = places.files()
    assert wanted in refused(run(places, f"{command} --data-dir {{home}}"))
    assert places.files() == before


def test_a_demonstration_with_an_unknown_job_is_refused_before_the_story(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOVEREIGN_JOB_EVERY_S", '{"publicaton": 5}')
    assert "want one of" in refused(run(places, "demo --data-dir {typo}"))
    assert not places.typo.exists()


def test_a_port_that_is_taken_is_named_before_anything_is_created(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setenv("SOVEREIGN_PORT", str(port))
        before = places.files()
        assert f"port {port}: Address already in use" in refused(
            run(places, "serve --data-dir {home}")
        )
        assert places.files() == before


def test_settings_that_are_no_toml_are_named(places: Places) -> None:
    (places.root / "sovereign.toml").write_text("port 8000")
    assert "want TOML in sovereign.toml" in refused(run(places, "serve --data-dir {home}"))


def test_a_database_that_is_none_is_no_defect_of_the_command(places: Places) -> None:
    (places.home / "ledger.sqlite").write_bytes(b"not a database" * 100)
    assert "sovereign fsck" in refused(run(places, "state-proof c1 --data-dir {home}"))


def test_a_source_that_is_no_database_creates_no_ledger(places: Places) -> None:
    places.typo.mkdir()
    (places.typo / "customers.duckdb").write_bytes(b"not a database" * 100)
    before = places.files()
    assert "customers.duckdb" in refused(run(places, "serve --data-dir {typo}"))
    assert places.files() == before


def test_a_defect_is_one_line_with_its_type_and_place_and_no_value(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise KeyError("Ada Lovelace")

    monkeypatch.setattr("ledger.service.Ledger.state_proof", broken)
    done = run(places, "state-proof c1 --data-dir {home}")
    assert done.exit_code == DEFECT
    (line,) = done.output.strip().splitlines()
    assert line.startswith("unexpected KeyError (a defect: please report it) at ")
    assert "tests/portal/test_mistakes.py" in line
    assert "portal/commands/" in line
    assert "Ada" not in line


def test_an_argument_that_is_no_text_is_named_and_nothing_is_looked_up(places: Places) -> None:
    here = ["--data-dir", str(places.home)]
    command: list[str | bytes] = [sys.executable, "-m", "portal.cli", "erase", b"c\xff", *here]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (2, "argument 2 is no text in UTF-8: correct it\n")


def test_tombstones_that_do_not_read_are_refused_at_the_start(places: Places) -> None:
    (places.home / "tombstones").write_text("not a tombstone\n")
    with pytest.raises(VaultError, match="tombstones"), open_ledger.writing(places.home):
        raise AssertionError("it was opened")


PLACES = {
    "export-customer": "export-customer c1 {to} --data-dir {{home}}",
    "evidence": "evidence c1 1 {to} --data-dir {{home}}",
    "transitions": "transitions {to} --data-dir {{home}}",
}


@pytest.mark.parametrize("to", ["{root}", "{root}/nowhere/file"])
@pytest.mark.parametrize("command", PLACES)
def test_a_file_goes_into_a_folder_that_exists(command: str, to: str, places: Places) -> None:
    before = places.files()
    said = refused(run(places, PLACES[command].format(to=to)))
    assert str(places.root) in said
    assert places.files() == before
