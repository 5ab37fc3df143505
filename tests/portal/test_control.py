"""Commands that reach the serving process: what is sent, what is refused, and who holds up whom."""

import json
import socket
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
import typer

from portal.commands import app, forwarding
from portal.operations import control
from portal.operations.control import ControlError, Outcome


def answering(argv: Sequence[str]) -> Outcome:
    return Outcome(0, f"{[*argv]}\n", "")


def connected(home: Path) -> socket.socket:
    address = json.loads((home / control.NAME).read_bytes())["socket"]
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(address)
    return connection


WORDS = {
    "a customer": ["erase", "c00001", "--data-dir", "/srv/data"],
    "another script": ["erase", "客户", "--reason", "naïve"],
    "bytes that are no text": ["erase", "\udcff"],
    "nothing": [],
}


@pytest.mark.parametrize("why", WORDS)
def test_a_command_arrives_as_it_was_typed(why: str, tmp_path: Path) -> None:
    seen: list[list[str]] = []

    def run(argv: Sequence[str]) -> Outcome:
        seen.append([*argv])
        return Outcome(3, "out", "err")

    with control.serving(tmp_path, run):
        assert control.forward(tmp_path, WORDS[why]) == Outcome(3, "out", "err")
    assert seen == [WORDS[why]]
    assert not (tmp_path / control.NAME).exists()


REQUESTS = {
    "no JSON": b"erase c00001",
    "another shape": b'{"argv":"erase"}',
    "a member too many": b'{"argv":[],"as":"root"}',
    "broken UTF-8": b'{"argv":["\xff"]}',
    "half a character": b'{"argv":["\\ud800"]}',
    "more than a command line": b'{"argv":["' + b"x" * (control.MAX_BYTES + 1) + b'"]}',
}


@pytest.mark.parametrize("why", REQUESTS)
def test_what_is_no_request_is_answered_so_and_the_next_one_is_served(
    why: str, tmp_path: Path
) -> None:
    with control.serving(tmp_path, answering):
        with connected(tmp_path) as connection:
            connection.sendall(REQUESTS[why])
            connection.shutdown(socket.SHUT_WR)
            answer = json.loads(connection.makefile("rb").read())
        assert (answer["code"], answer["err"][:13]) == (2, "not a request")
        assert control.forward(tmp_path, ["fsck"]) == Outcome(0, "['fsck']\n", "")


def test_what_a_command_prints_arrives_even_if_it_is_no_text(tmp_path: Path) -> None:
    with control.serving(tmp_path, lambda _: Outcome(0, "row \ud800\n", "")):
        assert control.forward(tmp_path, ["x"]) == Outcome(0, "row ?\n", "")


def test_who_only_connects_holds_up_nobody(tmp_path: Path) -> None:
    with control.serving(tmp_path, answering), connected(tmp_path):
        assert control.forward(tmp_path, ["hold"]) == Outcome(0, "['hold']\n", "")


def test_a_command_whose_sender_gave_up_is_not_begun(tmp_path: Path) -> None:
    begun, going_on, ran = threading.Event(), threading.Event(), []

    def run(argv: Sequence[str]) -> Outcome:
        ran.append(argv[0])
        begun.set()
        going_on.wait(180)
        return Outcome(0, "", "")

    with control.serving(tmp_path, run):
        first = threading.Thread(target=control.forward, args=[tmp_path, ["first"]])
        first.start()
        assert begun.wait(180)
        with connected(tmp_path) as connection:
            connection.sendall(b'{"argv":["erase"]}')
            connection.shutdown(socket.SHUT_WR)
        going_on.set()
        first.join()
        assert control.forward(tmp_path, ["last"]) is not None
    assert ran == ["first", "last"]


def test_an_answer_that_does_not_come_is_said_to_be_unknown(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        place = tmp_path / "s"
        listening.bind(str(place))
        listening.listen()
        (tmp_path / "state").mkdir()
        (tmp_path / control.NAME).write_text(json.dumps({"pid": 1, "socket": str(place)}))

        def cut() -> None:
            connection, _ = listening.accept()
            connection.recv(1 << 16)
            connection.close()

        threading.Thread(target=cut).start()
        with pytest.raises(ControlError, match="check whether it was carried out"):
            control.forward(tmp_path, ["erase"])


def test_what_a_killed_server_left_behind_reaches_nobody(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / control.NAME).write_text('{"pid":1,"socket":"/nowhere/control.sock"}')
    assert not control.reachable(tmp_path)
    assert control.forward(tmp_path, ["erase"]) is None


COMMANDS = {
    "a customer whose number looks like an option": (
        ["erase", "--data-dir", "data", "--", "--help"],
        ["erase", "--data-dir", "{here}/data", "--", "--help"],
    ),
    "a group, an option with a value, a default": (
        ["hold", "set", "c1", "--reason", "a b"],
        [
            *("hold", "set", "--reason", "a b", "--by", "data-protection-officer"),
            *("--data-dir", "{here}/sovereign-data", "--", "c1"),
        ],
    ),
}


@pytest.mark.parametrize("why", COMMANDS)
def test_paths_are_made_absolute_where_the_command_was_typed(
    why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed, sent = COMMANDS[why]
    monkeypatch.chdir(tmp_path)
    assert isinstance(app, typer.Typer)
    words = forwarding._absolute(app, typed)
    assert words == [each.format(here=tmp_path) for each in sent]
