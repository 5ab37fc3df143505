"""Every command that writes, beside a running portal: on SQLite files and on PostgreSQL.

Commands that run in the serving process are sent to it as `sovereign` sends them, which saves the
second that a process of its own takes to start; test_one_writer.py types them.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer

from ledger.tlog import signed_note
from portal.commands import app
from portal.data_directory.file_checks import BY_PATTERN
from portal.data_directory.inventory import KINDS, Checker
from portal.operations import control
from portal.operations.control import Outcome
from tests.features.served import GIVEN, PATIENCE_S, Person, Site, done, sovereign, views
from tests.features.test_one_writer import gate_beside

SCENE, SERVICE, FIELD = "recommendation", "recommender", "age"
KEPT = "direct-marketing"  # a scene that stays allowed

IN_THE_SERVER = {  # commands that write the log or the vault, and where they are tested
    "customers deleted",
    "customers merge",
    "customers rename",
    "customers split",
    "erase",
    "export-customer",  # reads, but from the very ledger that is served
    "gate announce",
    "hold lift",
    "hold set",
    "import-archive",
    "import-consents",  # test_one_writer.py
    "manifest affected",
    "manifest make",
    "manifest verify",
    "rotate-key",  # test_one_writer.py
    "steward register",
    "vault reindex",
}
BESIDE = {  # commands that write other files or tables, and are made for it
    "export-consent",
    "backup",
    "budget verify",
    "clock",
    "contracts check",
    "evidence",
    "export",
    "keys issue",  # test_api_keys.py, as the next two
    "keys revoke",
    "keys rotate",
    "note-draw",  # test_sampling.py, as the next one
    "open-entries",
    "steward replay",
    "steward run",
    "transitions",
    "vault rotate-kek",
}
ALONE = {"apply", "demo", "gate serve", "init", "mcp", "migrate", "restore", "serve"}
ALONE |= {"witness serve"}
READING = {
    "keys list",
    "keys uses",
    "audit",
    "audit-states",
    "check",
    "consent-record",
    "doctor",
    "fsck",
    "jobs",
    "keygen",
    "named-files",
    "own-reads",
    "plan",
    "processing-record",
    "replay",
    "schema",
    "settings",
    "state-proof",
    "steward cases",
    "steward notices",
    "synth budget",
    "synth fit",
    "synth provenance",
    "synth report",
    "synth sample",
    "verify",
    "witness keygen",
}


def commands(group: Any, *before: str) -> Iterator[str]:
    for name, each in group.commands.items():
        if hasattr(each, "commands"):
            yield from commands(each, *before, name)
        else:
            yield " ".join((*before, name))


def test_every_command_is_known_to_write_or_not() -> None:
    """A new command goes into one of the sets above, and into a test if it writes."""
    known = [*IN_THE_SERVER, *BESIDE, *ALONE, *READING]
    assert sorted(commands(typer.main.get_command(app))) == sorted(known)


def test_fsck_has_a_check_for_every_file_that_it_is_to_look_at() -> None:
    """The confirmation of a clock had none, and `fsck` ended with an error."""
    wanted = {each.pattern for each in KINDS if each.checker is Checker.FILE}
    assert wanted == {*BY_PATTERN}


@pytest.fixture(scope="session", params=["files", "postgres"])
def site(request: pytest.FixtureRequest) -> Site:
    """A served bank: its tables are in SQLite files, or in PostgreSQL."""
    served: Site = request.getfixturevalue(f"site_on_{request.param}")
    return served


@pytest.fixture
def allowing(site: Site, newcomers: Iterator[str]) -> Person:
    """A customer whose age the recommender reads as personal data."""
    customer = site.customer(next(newcomers))
    customer.switch(SCENE, "allow")
    assert reads(site, customer.subject) == {FIELD: "personal"}
    return customer


def sent(site: Site, *words: str | Path) -> Outcome:
    """How a command ended that the serving process ran."""
    outcome = control.forward(site.home, [*map(str, words), "--data-dir", str(site.home)])
    assert outcome is not None
    assert "Traceback" not in outcome.out + outcome.err
    return outcome


def printed(site: Site, *words: str | Path) -> str:
    outcome = sent(site, *words)
    assert outcome.code == 0, outcome
    return outcome.out


def reads(site: Site, subject: str) -> dict[str, str]:
    return views(site.read(SERVICE, SCENE, subject, FIELD))


def test_somebody_erased_is_read_by_nobody_and_comes_back_by_no_import(
    site: Site, allowing: Person, newcomers: Iterator[str], tmp_path: Path
) -> None:
    other = next(newcomers)
    rows, archive = tmp_path / "rows.csv", tmp_path / "archive.zip"
    lines = [f"{each},{SCENE},{GIVEN}" for each in (allowing.subject, other)]
    rows.write_text("\n".join(["subject,scene,at", *lines]) + "\n")
    printed(site, "export-customer", allowing.subject, archive)
    assert printed(site, "import-archive", archive).startswith("archive ")
    assert printed(site, "erase", allowing.subject).startswith("erased: ")
    assert "personal" not in reads(site, allowing.subject).values()
    imported = printed(site, "import-consents", rows, "--source", "crm")
    assert "given before the customer was erased here" in imported
    assert imported.endswith("1 instructions of class D recorded\n")
    assert "was erased here after" in sent(site, "import-archive", archive).err
    assert "personal" not in reads(site, allowing.subject).values()
    assert reads(site, other) == {FIELD: "personal"}


def test_one_erased_instruction_is_forgotten_at_once(site: Site, allowing: Person) -> None:
    allowing.switch(SCENE, "withdraw")
    first = allowing.receipts()[-1]
    gone = printed(site, "erase", allowing.subject, "--entry", str(first))
    assert gone.startswith(f"entry {first} was erased")
    assert first not in allowing.receipts()
    assert "personal" not in reads(site, allowing.subject).values()
    assert sent(site, "erase", allowing.subject, "--entry", "0").code == 1


def test_somebody_who_was_deleted_at_the_source_allows_nothing_until_they_do_again(
    site: Site, allowing: Person, newcomers: Iterator[str], tmp_path: Path
) -> None:
    who, other = allowing.subject, next(newcomers)
    stale, name = allowing.page("/customer"), f"/customer/scenes/{KEPT}/allow"
    words = ("customers", "deleted", who, other)
    assert printed(site, *words) == "2 customers deleted at the source\n"
    assert "personal" not in reads(site, who).values()
    assert allowing.press(stale, name).status == 409, "the page was made before"
    history = allowing.page("/customer/history").html
    assert "The company deleted its record of you" in history
    assert "recorded by the company" in history
    receipt = allowing.receipt(allowing.receipts()[0], tmp_path)
    shown = done("verify", receipt, "--key", site.home / "keys" / "consent.vkey")
    assert "source-deleted" in shown
    assert "evidence class D" in shown
    assert printed(site, *words).endswith("; 2 were recorded before\n")
    unknown = sent(site, *words, "nobody")
    assert (unknown.code, "the first is 'nobody'" in unknown.err) == (1, True)
    rows = tmp_path / "rows.csv"
    rows.write_text(f"subject,scene,at\n{other},{SCENE},{GIVEN}\n")
    assert printed(site, "import-consents", rows, "--source", "crm").endswith(
        "0 instructions of class D recorded\n"
    )
    assert "personal" not in reads(site, other).values()
    allowing.switch(SCENE, "allow")
    assert reads(site, who) == {FIELD: "personal"}


def test_after_a_merge_the_narrower_holds_and_both_read_that_it_was_done(
    site: Site, allowing: Person, newcomers: Iterator[str], tmp_path: Path
) -> None:
    into = site.customer(next(newcomers))
    into.switch(SCENE, "allow")
    into.switch(KEPT, "allow")
    allowing.switch_item(SCENE, "job", "withdraw")
    said = printed(site, "customers", "merge", allowing.subject, into.subject)
    assert said == "merged: 1 uses ended, 1 were limited to what both allowed\n"
    assert "personal" not in reads(site, allowing.subject).values()
    both = views(site.read(SERVICE, SCENE, into.subject, FIELD, "job"))
    assert both[FIELD] == "personal"
    assert both["job"] != "personal"
    ended, kept = (each.page("/customer/history").html for each in (allowing, into))
    assert "The company merged this record of you into another one" in ended
    assert "The company merged another record of you into this one" in kept
    assert "Limited to what both of your records allowed" in kept
    assert kept.count("recorded by the company") == 3, "also what ended"
    receipt = into.receipt(into.receipts()[0], tmp_path)
    shown = done("verify", receipt, "--key", site.home / "keys" / "consent.vkey")
    assert "evidence class D" in shown
    again = sent(site, "customers", "merge", allowing.subject, into.subject)
    assert (again.code, "was merged into" in again.err) == (1, True)
    for wrong in ("nobody", allowing.subject):
        assert sent(site, "customers", "merge", wrong, allowing.subject).code == 1


def test_who_must_be_asked_is_neither_merged_nor_split(
    site: Site, allowing: Person, newcomers: Iterator[str]
) -> None:
    """In scenes that are published later, too, which no act can say of somebody else."""
    erased, deleted = (site.customer(next(newcomers)) for _ in range(2))
    for each in (erased, deleted):
        each.switch(SCENE, "allow")
    printed(site, "erase", erased.subject)
    printed(site, "customers", "deleted", deleted.subject)
    site.customer(erased.subject).switch(SCENE, "allow")  # they came back
    for each, ended in ((erased, "was erased here"), (deleted, "was deleted at the source")):
        for command in ("merge", "split"):
            refused = sent(site, "customers", command, each.subject, allowing.subject)
            assert (refused.code, ended in refused.err) == (1, True)
    assert reads(site, allowing.subject) == {FIELD: "personal"}


def test_after_a_split_the_new_customer_must_be_asked(
    site: Site, allowing: Person, newcomers: Iterator[str]
) -> None:
    new = site.customer(next(newcomers))
    allowing.switch(KEPT, "allow")
    allowing.switch(KEPT, "withdraw")
    said = printed(site, "customers", "split", allowing.subject, new.subject)
    assert said == "split: 1 refusals hold for the new customer, too\n"
    assert reads(site, allowing.subject) == {FIELD: "personal"}
    assert "personal" not in reads(site, new.subject).values()
    for each in (allowing, new):
        assert "The company made two records of one" in each.page("/customer/history").html
    again = sent(site, "customers", "split", allowing.subject, new.subject)
    assert (again.code, "want a new customer" in again.err) == (1, True)
    new.switch(SCENE, "allow")
    assert reads(site, new.subject) == {FIELD: "personal"}


def test_choices_go_on_under_a_new_number(
    site: Site, allowing: Person, newcomers: Iterator[str], tmp_path: Path
) -> None:
    new, later = (site.customer(next(newcomers)) for _ in range(2))
    allowing.switch_item(SCENE, "job", "withdraw")
    allowing.switch(KEPT, "allow")
    allowing.switch(KEPT, "withdraw")
    said = printed(site, "customers", "rename", allowing.subject, new.subject)
    assert said == "renamed: what was decided about 2 uses holds for the new number\n"
    assert "personal" not in reads(site, allowing.subject).values()
    taken = views(site.read(SERVICE, SCENE, new.subject, FIELD, "job"))
    assert taken[FIELD] == "personal"
    assert taken["job"] != "personal"
    ended, goes_on = (each.page("/customer/history").html for each in (allowing, new))
    assert "The company gave you another number" in ended
    assert "The company gave you this number instead of an older one" in goes_on
    assert goes_on.count("recorded by the company") == 1
    assert goes_on.count("decided under your old number, taken over by the company") == 2
    receipt = new.receipt(new.receipts()[-1], tmp_path)
    shown = done("verify", receipt, "--key", site.home / "keys" / "consent.vkey")
    assert "evidence class D" in shown
    again = sent(site, "customers", "rename", allowing.subject, new.subject)
    assert (again.code, "before" in again.err) == (1, True)
    new.switch(SCENE, "withdraw")
    assert "personal" not in reads(site, new.subject).values()
    used = sent(site, "customers", "rename", later.subject, new.subject)
    assert (used.code, "want a new customer" in used.err) == (1, True)
    assert "0 differ" in done("replay", "--data-dir", site.home)


def test_what_is_under_the_old_number_is_said_on_pages_in_evidence_and_of_imports(
    site: Site, allowing: Person, newcomers: Iterator[str], tmp_path: Path
) -> None:
    new, later = (site.customer(next(newcomers)) for _ in range(2))
    printed(site, "customers", "rename", allowing.subject, new.subject)
    evidence = tmp_path / "taken.evidence"
    done("evidence", new.subject, "1", evidence, "--data-dir", site.home)
    policies = ("--policy", site.home / "consent.policy", "--policy", site.home / "state.policy")
    shown = done("verify", "--evidence", evidence, *policies)
    assert "by nobody: the company says so" in shown
    for path in ("/customer/reads", "/customer/map", "/customer/leave"):
        assert "under another number of yours" in new.page(path).html
        assert "under another number of yours" not in later.page(path).html
    rows = tmp_path / "rows.csv"
    rows.write_text(f"subject,scene,status,at\n{allowing.subject},{KEPT},withdrawn,{GIVEN}\n")
    refused = sent(site, "import-consents", rows, "--source", "crm")
    assert (refused.code, "nothing was recorded" in refused.err) == (1, True)
    assert f"the number '{new.subject}': write that number" in refused.err


def test_a_number_is_taken_before_the_source_has_it_and_not_from_somebody_erased(
    site: Site, allowing: Person, newcomers: Iterator[str]
) -> None:
    erased, taken = site.customer(next(newcomers)), f"k-{allowing.subject}"
    printed(site, "erase", erased.subject)
    for wrong, why in ((erased.subject, "was erased here"), ("a ", "want a customer's number")):
        refused = sent(site, "customers", "rename", allowing.subject, wrong)
        assert (refused.code, why in refused.err) == (1, True), refused
    assert reads(site, allowing.subject) == {FIELD: "personal"}
    assert printed(site, "customers", "rename", allowing.subject, taken).startswith("renamed: ")
    assert "personal" not in reads(site, allowing.subject).values()
    assert f"'{taken}' before" in sent(site, "customers", "rename", allowing.subject, taken).err
    assert done("fsck", "--data-dir", site.home)


def test_who_is_leaving_or_held_is_neither_renamed_nor_merged(
    site: Site, allowing: Person, newcomers: Iterator[str]
) -> None:
    """Their erasure, or what prevents it, would stand under a number that is theirs no more."""
    held, other = (site.customer(next(newcomers)) for _ in range(2))
    held.switch(SCENE, "allow")
    other.switch(SCENE, "allow")
    printed(site, "hold", "set", held.subject, "--reason", "a lawsuit")
    leaving = allowing.page("/customer/leave/everything")
    allowing.press(leaving, "/customer/leave/everything", word="erase")
    for path in ("/customer/history", "/customer/reads", "/customer/map", "/customer/leave"):
        assert "leaving-title" in allowing.page(path).html
    for who, why in ((allowing, "asked to be erased"), (held, "is under a legal hold")):
        for words in (
            ("rename", who.subject, next(newcomers)),
            ("merge", who.subject, other.subject),
            ("merge", other.subject, who.subject),
        ):
            refused = sent(site, "customers", *words)
            assert (refused.code, why in refused.err) == (1, True), refused
    assert reads(site, other.subject) == {FIELD: "personal"}


def test_who_is_erased_is_erased_under_their_earlier_numbers_too(
    site: Site, allowing: Person, newcomers: Iterator[str]
) -> None:
    """A legal hold of one of them keeps that one, until it is lifted."""
    second, third, held, other = (site.customer(next(newcomers)) for _ in range(4))
    held.switch(SCENE, "allow")
    other.switch(SCENE, "allow")
    printed(site, "customers", "rename", allowing.subject, second.subject)
    printed(site, "customers", "rename", second.subject, third.subject)
    printed(site, "customers", "merge", held.subject, third.subject)
    printed(site, "customers", "split", other.subject, next(newcomers))
    printed(site, "hold", "set", held.subject, "--reason", "a lawsuit")
    gone = printed(site, "erase", third.subject)
    assert "2 earlier numbers of the customer" in gone
    assert "1 earlier numbers stay until their legal hold is lifted" in gone
    for each in (allowing, second, third):
        assert "erased already" in sent(site, "erase", each.subject).err
    assert "The company merged this record" in held.page("/customer/history").html
    lifted = printed(site, "hold", "lift", held.subject, "--reason", "it ended")
    assert lifted.startswith("erased: ")
    assert "earlier numbers" not in printed(site, "erase", other.subject)


def test_under_a_number_that_was_given_up_nothing_is_decided_and_the_pages_say_so(
    site: Site, allowing: Person, newcomers: Iterator[str]
) -> None:
    new = site.customer(next(newcomers))
    before, leaving = allowing.page("/customer"), allowing.page("/customer/leave/everything")
    printed(site, "customers", "rename", allowing.subject, new.subject)
    everything = "/customer/leave/everything"
    for page, address, typed in (
        (before, f"/customer/scenes/{SCENE}/withdraw", {}),
        (allowing.page("/customer"), f"/customer/scenes/{SCENE}/allow", {}),
        (leaving, everything, {"word": "erase"}),
    ):
        answer = allowing.press(page, address, **typed)
        assert (answer.status, "You have another customer number now" in answer.html) == (409, True)
    assert reads(site, new.subject) == {FIELD: "personal"}
    for name in ("", "/history", "/reads", "/map", "/leave"):
        assert "Your choices go on under the new number" in allowing.page(f"/customer{name}").html
    new.switch(SCENE, "withdraw")
    assert "personal" not in reads(site, new.subject).values()


def test_what_ties_two_numbers_together_is_not_erased_alone(
    site: Site, allowing: Person, newcomers: Iterator[str]
) -> None:
    new = site.customer(next(newcomers))
    printed(site, "customers", "rename", allowing.subject, new.subject)
    entry = max(new.receipts())
    new.switch(SCENE, "withdraw")
    refused = sent(site, "erase", new.subject, "--entry", str(entry))
    assert "another number of theirs" in refused.err
    assert f"/customer/leave/entries/{entry}" not in new.page("/customer/leave").html
    assert "1 earlier numbers of the customer" in printed(site, "erase", new.subject)


def test_a_hold_keeps_somebody_until_it_is_lifted(site: Site, allowing: Person) -> None:
    who = allowing.subject
    assert "is set" in printed(site, "hold", "set", who, "--reason", "a lawsuit")
    assert sent(site, "erase", who).code == 1
    assert reads(site, who) == {FIELD: "personal"}
    assert printed(site, "hold", "lift", who, "--reason", "it ended").startswith("erased: 1")
    assert "personal" not in reads(site, who).values()


def test_a_key_a_manifest_and_a_gate_are_announced(
    site: Site, newcomers: Iterator[str], tmp_path: Path
) -> None:
    person = site.customer(next(newcomers))
    person.switch("ai-training", "allow")
    vkey = str(signed_note.generate(f"monitor-{tmp_path.name}").verifier)
    printed(site, "steward", "register", vkey)
    made = printed(site, "manifest", "make", "scoring-2", "--announce").partition(":")[0]
    assert "no veto" in printed(site, "manifest", "verify", made)
    assert printed(site, "gate", "announce").endswith("read logs announced\n")
    printed(site, "erase", person.subject)
    assert sent(site, "manifest", "affected").code == 1


def test_new_keys_of_the_log_and_of_the_vault_serve_the_next_receipt(
    site: Site, allowing: Person, tmp_path: Path
) -> None:
    printed(site, "rotate-key")
    assert printed(site, "vault", "reindex") == "the index of owners is complete\n"
    assert "is wrapped with a new key" in done("vault", "rotate-kek", "--data-dir", site.home)
    assert reads(site, allowing.subject) == {FIELD: "personal"}
    allowing.switch(SCENE, "withdraw")
    receipt = allowing.receipt(allowing.receipts()[0], tmp_path)
    key = site.home / "keys" / "consent.vkey"
    assert done("verify", receipt, "--key", key).startswith("VERIFIED")


def test_on_postgres_commands_with_tables_of_their_own_run_beside_the_portal(
    site_on_postgres: Site,
) -> None:
    at = ("--data-dir", str(site_on_postgres.home))
    assert "changes" in done("steward", "run", *at)
    assert "failed notices" in done("steward", "replay", *at)
    assert "checks" in sovereign("contracts", "check", *at).stdout
    assert "confirmed" in done("clock", "--confirm", *at)
    assert "job" in done("jobs", *at)


def test_on_postgres_a_gate_follows_an_erasure_and_every_check_is_clean_afterwards(
    site_on_postgres: Site, newcomers: Iterator[str], tmp_path: Path
) -> None:
    site, subject = site_on_postgres, next(newcomers)
    site.customer(subject).switch(SCENE, "allow")
    body = {"scene": SCENE, "customer": subject, "fields": [FIELD]}
    headers = {"Authorization": f"Bearer demo-{SERVICE}"}
    with gate_beside(site) as gate:

        def asked() -> dict[str, str]:
            answer = httpx.post(f"{gate}/v1/read", json=body, headers=headers, timeout=PATIENCE_S)
            return views(answer.json())

        assert asked() == {FIELD: "personal"}
        done("erase", subject, "--data-dir", site.home)
        assert "personal" not in asked().values()
        assert "personal" not in reads(site, subject).values()
    done("export", tmp_path / "consent", "--data-dir", site.home)
    assert done("fsck", "--data-dir", site.home) == "clean\n"
    assert "0 differ" in done("replay", "--data-dir", site.home)
    policy = ("--policy", site.home / "consent.policy")
    assert "clean" in done("audit", tmp_path / "consent", *policy)
