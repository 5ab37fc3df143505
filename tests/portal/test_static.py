"""Files that pages load: what they are, where they come from, how long they are kept."""

import re
from hashlib import sha256

import pytest
from starlette.testclient import TestClient

from portal.web.pages import STATIC

pytestmark = pytest.mark.usefixtures("still")

VENDORED = {"htmx.min.js": "a0abb04f2f45a1f89d1d4844023245537e5e6014c87b144553e0607b4cc32130"}


@pytest.mark.parametrize("name", VENDORED)
def test_a_vendored_file_is_the_one_its_readme_names(name: str) -> None:
    digest = sha256((STATIC / name).read_bytes()).hexdigest()
    assert digest == VENDORED[name]
    assert digest in (STATIC / "README.md").read_text()


def test_no_file_of_ours_fetches_from_elsewhere() -> None:
    for path in STATIC.iterdir():
        if path.suffix in {".css", ".js"} and path.name not in VENDORED:
            text = path.read_text()
            assert "http://" not in text.replace("http://www.w3.org", "")
            assert "https://" not in text


def test_an_address_with_its_digest_is_kept_for_ever(visitor: TestClient) -> None:
    page = visitor.get("/").text
    address = page.split('rel="stylesheet" href="', 1)[1].split('"', 1)[0]
    answer = visitor.get(address)
    assert answer.headers["cache-control"].endswith("immutable")
    assert visitor.get("/static/style.css").headers["cache-control"] == "no-cache"


def test_pages_are_not_stored(visitor: TestClient) -> None:
    assert visitor.get("/").headers["cache-control"] == "no-store"


def test_4_5_the_page_that_verifies_loads_what_it_uses() -> None:
    found, waiting = set[str](), ["check.js"]
    while waiting:
        name = waiting.pop()
        found.add(name)
        named = re.findall(
            r'^(?:import .*|\}) from "\./([a-z]+\.js)";', _script(name), re.MULTILINE
        )
        waiting += [each for each in named if each not in found]
    assert found == {"check.js", "verify.js", "canonical.js"}


def _script(name: str) -> str:
    return (STATIC / name).read_text("utf-8")
