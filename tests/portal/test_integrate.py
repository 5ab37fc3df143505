"""Every example of docs/integrate.md does what it shows (G77)."""

import json
import re
import shlex
import socket
import threading
import time
import tomllib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from textwrap import dedent
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.testclient import TestClient

from portal.app import create_app
from portal.operations.settings import Settings
from portal.operations.wiring import Product

pytestmark = pytest.mark.usefixtures("still")

DOCUMENT = (Path(__file__).parents[2] / "docs" / "integrate.md").read_text("utf-8")
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", DOCUMENT, re.DOTALL | re.MULTILINE))


def example(section: str) -> str:
    """The indented block of a section."""
    lines = [each for each in SECTIONS[section].splitlines() if each[:4] in {"    ", ""}]
    return dedent("\n".join(lines)).strip()


CURL = [name for name in SECTIONS if example(name).startswith("curl")]


@pytest.fixture(scope="module")
def address(still: Product) -> Iterator[str]:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        here = f"http://127.0.0.1:{listening.getsockname()[1]}"
        object.__setattr__(still, "settings", still.settings.model_copy(update={"address": here}))
        server = uvicorn.Server(uvicorn.Config(create_app(still), log_level="error"))
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield here
        server.should_exit = True
        thread.join()


def run(section: str, address: str, home: Path, known: dict[str, Any]) -> dict[str, Any]:
    text = example(section).replace("http://localhost:8000", address)
    text = text.replace("sovereign-data", str(home))
    exec(compile(text, section, "exec"), known)
    return known


def test_there_are_examples_of_everything() -> None:
    assert len(CURL) == 4
    for section in (
        "From Python",
        "From Python with asyncio",
        "What to forget",
        "Who you are",
        "In process",
        "As a FastAPI dependency",
    ):
        code = [line for line in example(section).splitlines() if line]
        assert 5 <= len(code) <= 14


@pytest.mark.parametrize("section", CURL)
def test_the_examples_for_the_shell_are_answered(section: str, address: str) -> None:
    words = shlex.split(example(section).replace("\\\n", " "))
    given = list(pairwise(words))
    # What curl says of a body itself, unless it is told otherwise.
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    headers |= dict(value.split(": ", 1) for name, value in given if name == "-H")
    body = next(value for name, value in given if name == "-d")
    path = next(word for word in words if word.startswith("localhost:8000"))
    path = path.removeprefix("localhost:8000")
    answer = httpx.post(address + path, headers=headers, content=body)
    assert answer.status_code == 200, answer.text
    if "ndjson" in headers.get("Accept", ""):
        assert all(
            {"customer", *json.loads(body)["fields"]} <= json.loads(line).keys()
            for line in answer.text.splitlines()
        )


def test_the_client_reads_one_and_many(
    address: str,
    product: Product,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SOVEREIGN_KEY", "demo-analytics")
    run("From Python", address, product.home, {})
    assert re.search(r"\d+ of them as they are", capsys.readouterr().out)
    run("From Python with asyncio", address, product.home, {})
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_an_agent_asks_in_twenty_lines(
    address: str, product: Product, capsys: pytest.CaptureFixture[str]
) -> None:
    section = "An agent in 20 lines"
    run(section, address, product.home, {})
    shown = capsys.readouterr().out
    assert re.fullmatch(r"\{'view': '(personal|withheld)', 'meaning': .*\}\n", shown)
    assert len([line for line in example(section).splitlines() if line]) <= 20


def test_a_service_forgets_what_the_feed_names(address: str, product: Product) -> None:
    known = run("What to forget", address, product.home, {})
    assert known["stored"] == {"c00007": {"age": 37}}  # nobody withdrew anything here


def test_a_service_proves_who_it_is(
    address: str, product: Product, capsys: pytest.CaptureFixture[str]
) -> None:
    run("Who you are", address, product.home, {})
    assert "age" in capsys.readouterr().out


def test_the_gate_is_embedded_and_is_a_dependency(
    product: Product, address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import shutil

    home = tmp_path / "home"
    shutil.copytree(product.home, home)
    known = run("In process", address, home, {"__name__": "example"})
    assert "age" in capsys.readouterr().out
    run("As a FastAPI dependency", address, home, known)
    client = TestClient(known["app"])
    assert client.get("/segments/c00007").json()["view"] in {"personal", "synthetic", "withheld"}
    known["gate"].suspend("segmentation")
    assert client.get("/segments/c00007").status_code == 403


def test_the_limits_are_settings() -> None:
    lines = example("Limits")
    settings = Settings.model_validate(tomllib.loads(lines))
    assert settings.quota["marketing-desk/direct-marketing"].rows_per_day == 20000
