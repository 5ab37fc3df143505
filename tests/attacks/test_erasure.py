"""Clauses V34 and V40 to V50 of specs/vault.md: a customer leaves, and every file is searched.

The attacker is the company: every file, every key that is left, every backup. Each search is run
first while they are still a customer, and finds them.
"""

import json
import re
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import timedelta
from email import message_from_bytes
from email.policy import default
from itertools import product as every
from pathlib import Path

import pytest

from gate.decision.decide import Reason
from gate.reads.request import ReadRequest
from ledger.errors import CorruptLogError
from ledger.events import state_document
from ledger.events.envelope import Granted, SubjectErased, SyntheticReleased, Withdrawn
from ledger.events.reducer import ConsentState
from ledger.fsck import fsck
from ledger.latest_state import state_opening
from ledger.statemap import map_proof
from ledger.storage.writer_lock import WriterLock
from ledger.tlog import policy
from ledger.tlog.auditor import KeyDemand, audit
from ledger.tlog.fetcher import DirectorySource
from ledger.vault import commitments
from ledger.vault.vault import Vault
from ledger.verify import receipt
from portal.archive import store
from portal.archive.content import archive
from portal.archive.holding import CustomerRecords
from portal.auth.consent_keys import ConsentKeyStore
from portal.auth.passkeys import Host, Passkeys
from portal.auth.session import Sessions
from portal.operations.erasure import Eraser
from portal.operations.settings import Settings
from portal.operations.wiring import Product, open_product
from portal.storage.sessions import SessionTable
from portal.web.replay_service import Replays
from steward.language import catalogue
from steward.notify import recipients as recipient
from steward.notify.outbox import Outbox
from steward.oversight import stale_releases
from steward.oversight.authority_access import AuthorityAccesses
from steward.oversight.legal_hold import HoldError, Holds, LegalHoldError
from tests.portal.authenticator import Key
from tests.portal.conftest import START, Clock, browser, copy
from tests.portal.desk import ME, furnish, say
from tests.steward.change.office import bank_release

OTHER = "c00008"
HERE = Host("testserver", "http://testserver")
SOURCE = "customers.duckdb"  # the company's own system: not ours to delete


@pytest.fixture(scope="module")
def furnished(seeded: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A customer with a case, a proposal, reads, an opening, a passkey, an archive, a receipt."""
    made = copy(seeded, tmp_path_factory.mktemp("furnished") / "home")
    furnish(made, Clock())
    recipients = recipient.load(made.home)
    assert Outbox(made.home).deliver(recipients.sender, START).delivered == 1
    for scene in ("segmentation", "contract-service"):
        made.gate.read(request(made, scene))
    AuthorityAccesses(made.register()).grant(ME, "data-protection-officer", "complaint", 3, START)
    keys, key = Passkeys(made.home), Key()
    challenge, options = keys.offer(ME, "Somebody", HERE)
    keys.add(ME, key.made(json.loads(options)), challenge, HERE, START)
    keys.close()
    signing = ConsentKeyStore(made.home)
    signing.keep(ME, b"a credential", bytes(32))
    signing.close()
    spoken = catalogue.load()
    held = CustomerRecords(
        made.home, made.ledger, made.source, made.scenes, made.gate.source, spoken
    )
    kept = store.ArchiveStore(made.home, bytes(32))
    kept.put(store.folder(made.ledger, ME), archive(held, ME, START), START)
    index = made.ledger.history(ME)[0].index
    (made.home / "receipts").mkdir()
    (made.home / "receipts" / f"{index}.tlog-proof").write_text(made.ledger.receipt(index, ME))
    made.keep_state()
    made.publish()
    made.ledger.close()
    return made.home


@pytest.fixture
def house(furnished: Path, tmp_path: Path) -> Product:
    """A copy of it for each test, in use."""
    return copy(furnished, tmp_path / "home")


def request(house: Product, scene: str, subject: str = ME) -> ReadRequest:
    contract = house.scenes[scene]
    fields = tuple(contract.fields)
    return ReadRequest(contract.services[0].id, scene, subject, fields, START)


def eraser(house: Product, sessions: Sessions | None = None) -> Eraser:
    ended = sessions.end if sessions else lambda _subject: 0
    return Eraser(house.home, house.ledger, house.register(), ended)


def words(house: Product) -> list[bytes]:
    """Whatever says who they are."""
    row = house.gate.source.row(ME, ["name", "email", "phone", "device_id"])
    assert row is not None
    name = str(row["name"])
    said = [ME, *(str(value) for value in row.values()), f"{name[:1]}***"]
    return [text for each in said for text in (each.encode(), ascii_json(each))]


def ascii_json(text: str) -> bytes:
    return text.encode("ascii", "backslashreplace")


def places(home: Path, needles: list[bytes]) -> set[str]:
    """The files that hold one of the needles, anywhere in their bytes."""
    files = (path for path in home.rglob("*") if path.is_file() and path.name != SOURCE)
    return {
        str(path.relative_to(home))
        for path in files
        if any(n in path.read_bytes() for n in needles)
    }


def masked_in(home: Path) -> set[str]:
    """The names that notices in files carry: their bytes are encoded for the mail."""
    letters = [message_from_bytes(p.read_bytes(), policy=default) for p in home.rglob("*.eml")]
    assert letters
    texts = [str(each["Subject"]) + each.get_content() for each in letters]
    return {found for text in texts for found in re.findall(r"\S?\*\*\*", text)}


def test_v40_no_file_of_the_house_says_who_it_was(house: Product) -> None:
    needles = words(house)
    before = places(house.home, needles)
    names = {Path(each).name.partition("-wal")[0] for each in before}
    assert {"customers.db", "passkeys.sqlite", "steward.sqlite", "register.sqlite"} <= names
    assert any(each.startswith("archives/") for each in before)
    assert [*(house.home / "receipts").iterdir()]
    assert any(each.startswith("state/") for each in before)
    (masked,) = masked_in(house.home)
    assert masked.encode() in needles
    gone = eraser(house).customer(ME, START)
    assert masked_in(house.home) == {"***"}
    assert (gone.cases, gone.passkeys, gone.archives, gone.receipts) == (1, 1, 1, 1)
    assert places(house.home, needles) == set()
    assert not [*(house.home / "receipts").iterdir()]


def test_v40_the_notice_of_an_erased_entry_names_nobody(house: Product, clock: Clock) -> None:
    (withdrawn,) = [e for e in house.ledger.history(ME) if isinstance(e.event.act, Withdrawn)]
    assert isinstance(withdrawn.event.act, Withdrawn)
    scene = withdrawn.event.act.scene
    (masked,) = masked_in(house.home)
    assert places(house.home, [masked.encode()]) == {"steward.sqlite-wal"}
    say(house, clock, Granted(scene, tuple(house.scenes[scene].fields), None))
    eraser(house).entry(ME, withdrawn.index, START)
    assert masked_in(house.home) == {"***"}
    assert places(house.home, [masked.encode()]) == set()


def test_v41_no_free_page_or_side_file_holds_the_key(house: Product) -> None:
    """The wrapped key, the key, both halves and what they derive, in every file."""
    with closing(sqlite3.connect(house.home / "keys" / "customers.db")) as database:
        query = "SELECT wrapped FROM customer WHERE subject = ?"
        (wrapped,) = database.execute(query, [ME]).fetchone()
    with closing(Vault(house.home / "keys")) as vault:
        key = vault.key(ME)
    assert key is not None
    derived = [commitments.secrets(key, seq) for seq in range(1, 40)]
    needles = [wrapped, key[:32], key[32:], *(each.sealing_key for each in derived)]
    assert places(house.home, [wrapped]) == {"keys/customers.db"}
    eraser(house).customer(ME, START)
    assert places(house.home, needles) == set()


def test_v42_the_gate_gives_nothing_that_rests_on_consent(house: Product) -> None:
    live = [
        s for s in house.scenes if house.gate.decide(request(house, s)).reason is Reason.GRANTED
    ]
    assert len(live) > 1
    eraser(house).customer(ME, START)
    for scene in house.scenes:
        if not house.scenes[scene].locked:
            assert house.gate.decide(request(house, scene)).reason is not Reason.GRANTED
            answered = house.gate.read(request(house, scene)).decision.views.values()
            assert not {"personal", "generalised"} & {str(each) for each in answered}
    assert house.gate.decide(request(house, "segmentation", OTHER)) is not None


def test_v42_nor_does_one_that_starts_from_what_is_on_disk(house: Product) -> None:
    eraser(house).customer(ME, START)
    house.ledger.close()
    again = open_product(Settings(data_dir=house.home, demo=True))
    for scene in again.scenes.values():
        if not scene.locked:
            assert again.gate.decide(request(again, scene.id)).reason is not Reason.GRANTED
    assert ME not in again.gate.subjects()


def test_v43_whoever_was_signed_in_is_not_any_more(house: Product) -> None:
    sessions = Sessions(SessionTable(house.home))
    mine, theirs = (sessions.open(who, who, START) for who in (ME, OTHER))
    eraser(house, sessions).customer(ME, START)
    assert sessions.find(mine, START) is None
    assert sessions.find(theirs, START) is not None


def test_v44_what_was_said_about_them_does_not_open(house: Product) -> None:
    openings, register = AuthorityAccesses(house.register()), house.register()
    assert openings.of(ME)
    assert [*house.reads_of(ME)]
    numbers = [each.number for each in register.entries()]
    eraser(house).customer(ME, START)
    assert openings.of(ME) == []
    assert [*house.reads_of(ME)] == []
    assert not any(register.private(number, ME) for number in numbers)
    register.verify()


def test_v45_every_proof_given_before_still_verifies(house: Product, tmp_path: Path) -> None:
    kept = [house.ledger.receipt(each.index, ME) for each in house.ledger.history(ME)]
    proof = house.ledger.state_proof(ME)
    head = house.ledger.checkpoint()
    eraser(house).customer(ME, START)
    house.publish()
    trusted = policy.parse((house.home / "consent.policy").read_bytes())
    for text in kept:
        receipt.verify_under(receipt.parse(text), trusted)
    said = [receipt.parse(text).extra["event"] for text in kept]
    where = house.ledger.states.labels.of(ME)
    map_proof.verify(proof, where, house.ledger.states.log.verifiers)
    map_proof.require_complete(proof, said)
    seen = KeyDemand(house.ledger.log.verifiers)
    assert audit(DirectorySource(house.home / "log" / "consent"), seen, head).clean
    house.ledger.close()
    assert [*fsck(house.home)] == []


def test_v45_the_log_says_that_somebody_left_and_not_who(house: Product) -> None:
    size = house.ledger.size
    eraser(house).customer(ME, START)
    assert [each.event for each in house.ledger.follow(size)] == [SubjectErased(START)]


def test_v46_all_twelve_answers_of_all_customers_find_nothing(house: Product) -> None:
    """Every combination of twelve answers, for everybody there is, in the form of the map's leaf,
    under every salt that can be derived from what is left."""
    scenes = [each for each in house.scenes if not house.scenes[each].locked]
    mine = house.ledger.state(ME)
    assert mine is not None
    assert guessed(house, mine, scenes)
    eraser(house).customer(ME, START)
    assert not guessed(house, mine, scenes)


def guessed(house: Product, mine: ConsentState, scenes: list[str]) -> bool:
    """The attacker knows head, number and every other word of the state, and guesses the answers
    and the salt: of each key that is left, for each version."""
    with closing(Vault(house.home / "keys")) as vault:
        keys = [key for _, key in vault.data_keys()]
    origin = house.ledger.states.log.origin
    held: set[bytes] = set()
    with closing(sqlite3.connect(house.home / "ledger.sqlite")) as database:
        for (records,) in database.execute("SELECT records FROM state_bucket"):
            held |= {records[at + 32 : at + 64] for at in range(0, len(records), 64)}
    salts = [state_opening(ConsentState("", mine.seq), key, origin).salt for key in keys]
    some = [each for each in scenes if each in mine.scenes]
    for answers in every([True, False], repeat=len(some)):
        kept = {
            name: found
            for name, found in mine.scenes.items()
            if name not in some or answers[some.index(name)]
        }
        document = state_document.document(replace(mine, scenes=kept))
        if any(map_proof.StateOpening(document, salt).value in held for salt in salts):
            return True
    return False


@dataclass
class Loot:
    entries: list[bytes]
    keys: list[bytes]
    sizes: list[int]


def loot(home: Path, house: Product) -> Loot:
    with closing(Vault(home / "keys")) as vault:
        keys = [key for _, key in vault.data_keys()]
    with closing(sqlite3.connect(home / "ledger.sqlite")) as database:
        sizes = [row[0] for row in database.execute("SELECT length(data) FROM sealed")]
    return Loot([*house.ledger.log.entries(0, house.ledger.size)], keys, sizes)


def test_v47_neither_tags_nor_lengths_link_what_they_said(house: Product) -> None:
    tags = {house.ledger.receipt(e.index, ME) for e in house.ledger.history(ME)}
    mine = {bytes.fromhex(receipt.parse(each).extra["tag"]) for each in tags}
    found = loot(house.home, house)
    yielded = {commitments.tag(key, seq) for key in found.keys for seq in range(1, 30)}
    assert mine <= yielded, "with the key they are all found"
    eraser(house).customer(ME, START)
    found = loot(house.home, house)
    yielded = {commitments.tag(key, seq) for key in found.keys for seq in range(1, 30)}
    assert not mine & yielded
    assert {size % 512 for size in found.sizes} == {16}, "padded: the lengths are few"


def restored(house: Product, backup: Path, *names: str) -> Product:
    """The product, restarted after these files were restored from the backup."""
    house.ledger.close()
    for name in names:
        for side in house.home.glob(f"{name}-*"):
            side.unlink()
        shutil.copy(backup / name, house.home / name)
    return open_product(Settings(data_dir=house.home, demo=True))


@pytest.fixture
def backup(house: Product, tmp_path: Path) -> Path:
    """A copy of everything from before the erasure, taken while nothing was written."""
    for name in ("ledger.sqlite", "register.sqlite", "steward.sqlite"):
        with closing(sqlite3.connect(house.home / name)) as database:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return Path(shutil.copytree(house.home, tmp_path / "backup"))


RESTORED = {
    "the key store": ("keys/customers.db",),
    "the key store and what wraps it": ("keys/customers.db", "keys/kek"),
    "the register and the cases": ("register.sqlite", "steward.sqlite"),
    "the key store, the register and the gate's snapshot": (
        "keys/customers.db",
        "register.sqlite",
        "state/consent.npz",
    ),
}


@pytest.mark.parametrize("why", RESTORED)
def test_v48_a_restored_backup_brings_nobody_back(why: str, house: Product, backup: Path) -> None:
    eraser(house).customer(ME, START)
    again = restored(house, backup, *RESTORED[why])
    assert again.ledger.history(ME) == []
    assert [*again.reads_of(ME)] == []
    assert AuthorityAccesses(again.register()).of(ME) == []
    assert ME not in again.gate.subjects()
    for scene in again.scenes.values():
        if not scene.locked:
            assert again.gate.decide(request(again, scene.id)).reason is not Reason.GRANTED
    assert b"c00007" not in (again.home / "keys" / "customers.db").read_bytes()


def test_v49_under_a_legal_hold_nothing_is_erased_and_the_request_is_kept(house: Product) -> None:
    holds = Holds(house.register())
    holds.set(ME, "data-protection-officer", "claim 114", START)
    before = len(house.ledger.history(ME))
    with pytest.raises(LegalHoldError, match=r"claim 114.*kept and carried out when"):
        eraser(house).customer(ME, START)
    with pytest.raises(LegalHoldError):
        eraser(house).entry(ME, house.ledger.history(ME)[0].index, START)
    assert len(house.ledger.history(ME)) == before
    assert holds.requested(ME)
    assert holds.lift(ME, "data-protection-officer", "settled", START)
    eraser(house).customer(ME, START)
    assert house.ledger.history(ME) == []


def test_v49_a_hold_is_set_once_with_a_reason_and_lifted_once(house: Product) -> None:
    holds = Holds(house.register())
    with pytest.raises(HoldError, match="no hold to lift"):
        holds.lift(ME, "officer", "x", START)
    with pytest.raises(HoldError, match="want who and a reason"):
        holds.set(ME, "officer", "  ", START)
    holds.set(ME, "officer", "claim", START)
    with pytest.raises(HoldError, match="already has a hold"):
        holds.set(ME, "officer", "claim", START)
    assert not holds.lift(ME, "officer", "settled", START)
    assert holds.of(ME) is None
    holds.set(ME, "officer", "again", START + timedelta(days=1))
    found = holds.of(ME)
    assert found is not None
    assert (found.reason, found.since) == ("again", START + timedelta(days=1))
    sealed = (house.home / "register.sqlite").read_bytes()
    assert b"again" not in re.sub(rb"[^a-z ]", b"", sealed[-20_000:])


def test_v15_a_read_that_rested_on_an_erased_entry_is_not_accused(
    house: Product, clock: Clock
) -> None:
    """The grant that it rested on was withdrawn and erased. The replay cannot tell, and says so."""
    scene = "lead-scoring"
    fields = tuple(house.scenes[scene].fields)
    say(house, clock, Granted(scene, fields, None))
    granted = house.ledger.history(ME)[-1].index
    asked = replace(request(house, scene), at=clock())
    assert house.gate.decide(asked).reason is Reason.GRANTED
    house.gate.read(asked)
    say(house, clock, Withdrawn(scene))
    say(house, clock, Granted(scene, fields[:1], None))
    for index in [
        e.index for e in house.ledger.history(ME) if getattr(e.event.act, "scene", None) == scene
    ][:-1]:
        eraser(house).entry(ME, index, START)
    assert granted not in {each.index for each in house.ledger.history(ME)}
    report = Replays(house.home).run(START.date(), START.date()).report
    assert (report.differences, report.unopened) == ([], 1)


def test_v50_a_release_stays_and_says_how_many_were_erased_since(
    house: Product, clock: Clock
) -> None:
    made = replace(bank_release(), ledger_size=house.ledger.size)
    house.ledger.announce([SyntheticReleased(made.id, "segmentation", made.body(), START)])
    house.gate.serve("segmentation", made)
    with browser(house, clock) as client:
        record = client.get("/releases/segmentation.json").content
        assert "erased since" not in client.get("/regulator/releases/segmentation").text
        for subject, told in ((ME, "1 customer was"), (OTHER, "2 customers were")):
            eraser(house).customer(subject, START)
            assert f"{told} erased since" in client.get("/regulator/releases/segmentation").text
        assert client.get("/releases/segmentation.json").content == record
    assert stale_releases.erased_since(house.ledger, house.ledger.size) == 0
    assert ME not in house.gate.consenting("segmentation", ["age"], START)


def test_v34_a_whole_house_of_before_is_back_and_whoever_saw_the_log_notices(
    house: Product, backup: Path, tmp_path: Path
) -> None:
    """A stated limit: restoring everything from before, `erased` included, brings them back."""
    eraser(house).customer(ME, START)
    house.ledger.export(tmp_path / "public")
    house.ledger.close()
    WriterLock(house.home).release()  # as if the process had ended
    shutil.rmtree(house.home)
    shutil.copytree(backup, house.home)
    again = open_product(Settings(data_dir=house.home, demo=True))
    assert again.ledger.history(ME)
    with pytest.raises(CorruptLogError, match="nothing was changed"):
        again.ledger.export(tmp_path / "public")
