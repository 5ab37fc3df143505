"""M26, M27: parts of the CRM: scores of any views, lists of words, the queue, two writers."""

import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from examples.crm import contacts, database, scoring, words
from examples.crm.contacts import Written
from examples.crm.mailbox import Mailbox, ReusedIdError
from sovereign_client import Personal, Synthetic, Value, Withheld
from tests.features.served import ROOT

NOTHING: Mapping[str, Value] = {name: Personal(0) for name in scoring.TENTHS} | {
    "last_message": Personal(None)
}
SCORES: Mapping[str, tuple[Mapping[str, Value], float]] = {
    "nothing": ({}, 0.0),
    "opened": ({"mails_opened": Personal(1)}, 0.1),
    "clicked": ({"links_clicked": Personal(1)}, 0.3),
    "replied": ({"replies": Personal(1)}, 0.5),
    "meeting": ({"meetings": Personal(1)}, 0.9),
    "opened three times": ({"mails_opened": Personal(3)}, 0.3),
    "opened and clicked": ({"mails_opened": Personal(1), "links_clicked": Personal(1)}, 0.4),
    "a word about prices": ({"last_message": Personal("What does it COST?")}, 0.2),
    "a word about contracts": ({"last_message": Personal("my contract ends")}, 0.2),
    "both words, once": ({"last_message": Personal("price, contract")}, 0.2),
    "prices in Chinese": ({"last_message": Personal("请问多少钱？")}, 0.2),
    "contracts in Chinese": ({"last_message": Personal("我想续约")}, 0.2),
    "a longer word": ({"last_message": Personal("terminal")}, 0.0),
    "no such word": ({"last_message": Personal("determined")}, 0.0),
    "more than one": ({"meetings": Personal(2), "replies": Personal(9)}, 1.0),
    "a drawn count": ({"replies": Synthetic(1)}, 0.5),
    "withheld counts": ({name: Withheld() for name in scoring.FIELDS}, 0.0),
}


@pytest.mark.parametrize("why", SCORES)
def test_r7_the_score_is_the_sum_of_the_weights_and_at_most_one(why: str) -> None:
    fields, wanted = SCORES[why]
    assert scoring.score({**NOTHING, **fields}).score == wanted


def test_r8_a_score_names_the_fields_that_were_not_the_customers_own() -> None:
    fields = {**NOTHING, "replies": Synthetic(1), "meetings": Withheld()}
    found = scoring.score(fields)
    assert (found.score, found.confidence) == (0.5, 0.6)
    assert found.missing == ("replies", "meetings")
    assert {*found.used} == {"mails_opened", "links_clicked", "last_message"}
    assert "replies, meetings" in found.reasons[-1]


MOODS = {
    "I am angry about this terrible service": -2,
    "Thank you, very helpful": 2,
    "I am not happy": -1,
    "This is not bad": 1,
    "我很不满意": -2,
    "谢谢，很好": 2,
    "线路坏了，我要投诉": -2,
    "The badge is a classic": 0,
}


@pytest.mark.parametrize("text", MOODS)
def test_r10_the_mood_is_counted_by_the_lists_of_words(text: str) -> None:
    assert words.mood(text) == MOODS[text]


OPERATIONS = {
    "I want my money back": "refund",
    "请退款": "refund",
    "Cancel my contract now": "termination",
    "我要解约": "termination",
    "My lawyer will write": "legal",
    "我要起诉你们": "legal",
    "I want compensation": "giveaway",
    "给点补偿吧": "giveaway",
    "the issue is solved": None,
}


@pytest.mark.parametrize("text", OPERATIONS)
def test_r10_what_a_message_asks_for_is_found(text: str) -> None:
    assert words.operation(text) == OPERATIONS[text]


KILLED = """
import os, sys
from pathlib import Path
from threading import Barrier
from examples.crm.mailbox import Mailbox, ReusedIdError

mailbox = Mailbox(Path(sys.argv[1]))
mailbox.accept("msg_1", b"{}")
print("accepted", flush=True)
mailbox.work(lambda connection, delivery, body: os.kill(os.getpid(), 9))
"""


def test_r4_an_item_whose_work_was_killed_is_worked_on_once_by_the_next_process(
    tmp_path: Path,
) -> None:
    database.prepare(tmp_path)
    program = [sys.executable, "-c", KILLED, str(tmp_path)]
    ran = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (-9, "accepted\n"), ran.stderr
    done: list[tuple[str, bytes]] = []
    mailbox = Mailbox(tmp_path)
    mailbox.accept("msg_1", b"{}")  # the sender saw no answer, and asks again
    while mailbox.work(lambda _, delivery, body: done.append((delivery, body))):
        pass
    assert done == [("msg_1", b"{}")]


def test_r3_of_two_bodies_under_one_id_at_once_the_accepted_one_is_worked_on(
    tmp_path: Path,
) -> None:
    database.prepare(tmp_path)
    mailbox, start = Mailbox(tmp_path), Barrier(8)

    def send(number: int) -> bytes | None:
        body = b'{"number":%d}' % number
        start.wait()
        try:
            mailbox.accept("msg_1", body)
        except ReusedIdError:
            return None
        return body

    with ThreadPoolExecutor(8) as senders:
        accepted = {*senders.map(send, range(8))} - {None}
    done: list[bytes] = []
    while mailbox.work(lambda _, _delivery, body: done.append(body)):
        pass
    assert len(accepted) == 1
    assert {*done} == accepted


CONFLICTS: Mapping[str, tuple[list[Written], str | None]] = {
    "the first system of the rule was first": (
        [Written("c", "a", "1", 0, "e1"), Written("c", "b", "2", 0, "e2")],
        "1",
    ),
    "the first system of the rule was last": (
        [Written("c", "b", "2", 0, "e1"), Written("c", "a", "1", 0, "e2")],
        "1",
    ),
    "who saw the other's": (
        [Written("c", "a", "1", 0, "e1"), Written("c", "b", "2", 1, "e2")],
        "2",
    ),
    "the same value twice": (
        [Written("c", "a", "1", 0, "e1"), Written("c", "b", "1", 0, "e2")],
        "1",
    ),
    "one system that did not see its own": (
        [Written("c", "a", "1", 0, "e1"), Written("c", "a", "2", 0, "e2")],
        "2",
    ),
    "a system that the rule does not name": (
        [Written("c", "x", "1", 0, "e1"), Written("c", "y", "2", 0, "e2")],
        "1",
    ),
}


@pytest.mark.parametrize("why", CONFLICTS)
def test_r6_the_value_that_counts_after_two_writes(why: str, tmp_path: Path) -> None:
    database.prepare(tmp_path)
    writes, wanted = CONFLICTS[why]
    with database.writing(tmp_path) as connection:
        connection.execute("CREATE TABLE contact (subscriber TEXT, phone TEXT)")
        connection.execute("INSERT INTO contact VALUES ('c', 'first')")
        for each in writes:
            contacts.write(connection, each, ["a", "b"])
        (counts,) = connection.execute("SELECT phone FROM contact").fetchone()
        stored = connection.execute("SELECT value FROM contact_write ORDER BY version").fetchall()
    assert counts == wanted
    assert stored == [(each.value,) for each in writes]
