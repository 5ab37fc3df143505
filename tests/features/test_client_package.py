"""The client installs from its wheel, without the product, and asks a served company (G184).

The environment that it is installed into has httpx, msgspec and what these need, and nothing else.
"""

import ast
import os
import subprocess
import sys
import venv
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest

from tests import licences
from tests.architecture.packages import PACKAGES
from tests.features.served import ROOT, Site, done
from tests.portal.test_integrate import example

SOURCE = ROOT / "clients" / "python"
KEYED, SCENE = "recommender", "recommendation"


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python with the client installed from its wheel."""
    folder = tmp_path_factory.mktemp("alone")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=SOURCE, check=True, capture_output=True)
    (wheel,) = folder.glob("sovereign_client-*.whl")
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv" / "bin" / "python"
    (site,) = (folder / "venv" / "lib").glob("python*/site-packages")
    for path in needed("httpx", "msgspec"):
        (site / path.name).symlink_to(path)
    # Without an index pip installs it only if all that it requires is there.
    install = [str(python), "-m", "pip", "install", "-q", "--no-index", str(wheel)]
    subprocess.run(install, check=True, env=_without("PIP_FIND_LINKS"))
    return python


def needed(*names: str) -> Iterator[Path]:
    """The files and folders in this environment of the named distributions and what they need."""
    found = {each.name: each for name in names for each in licences.closure(name)}
    for each in found.values():
        tops = {file.parts[0] for file in each.files or [] if file.parts[0] not in {"..", "bin"}}
        yield from (Path(str(each.locate_file(top))) for top in sorted(tops - {"__pycache__"}))


def _without(*names: str) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in names}


def ran(python: Path, program: str, **environment: str) -> str:
    """What a program prints. `-I`: nothing of this folder is importable."""
    done = subprocess.run(
        [python, "-I", "-c", program],
        env=_without() | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def issue(site: Site, service: str) -> str:
    return done("keys", "issue", service, "--data-dir", site.home).strip()


def test_g184_the_examples_run_where_the_client_is_installed_alone(
    python: Path, site: Site
) -> None:
    key = issue(site, "analytics")
    programs = [example(each) for each in ("From Python", "From Python with asyncio")]
    assert all(len([line for line in each.splitlines() if line]) <= 20 for each in programs)
    plain, with_asyncio = (
        ran(python, each.replace("http://localhost:8000", site.address), SOVEREIGN_KEY=key)
        for each in programs
    )
    assert "of them as they are" in plain
    assert "Completion(mode=" in plain
    assert [line.split()[0] for line in with_asyncio.splitlines()] == ["c00007", "c00008", "c00009"]


def test_g184_nothing_of_the_product_is_there(python: Path) -> None:
    look = "import importlib.util, sys\nprint([n for n in {} if importlib.util.find_spec(n)])"
    assert ran(python, look.format(list(PACKAGES))) == "[]\n"
    assert ran(python, look.format(["httpx", "msgspec", "pyarrow"])) == "['httpx', 'msgspec']\n"
    loaded = ran(python, "import sovereign_client as s, sys\nprint(s.__file__, *sys.modules)")
    assert str(python.parent.parent) in loaded.split()[0]


def test_g184_its_modules_import_the_standard_library_and_two_others() -> None:
    imported: dict[str, set[str]] = {}
    for path in sorted((SOURCE / "sovereign_client").glob("*.py")):
        imported[path.name] = {*_imports(ast.parse(path.read_text("utf-8")))}
    assert len(imported) > 10
    optional = imported.pop("arrow.py")
    others = {*chain(*imported.values())} - sys.stdlib_module_names
    assert others == {"httpx", "msgspec", "sovereign_client"}
    assert optional - others - sys.stdlib_module_names == {"pyarrow"}


def _imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (each.name.partition(".")[0] for each in node.names)
        if isinstance(node, ast.ImportFrom):
            yield (node.module or "").partition(".")[0]


EVERYTHING = """
import asyncio, os, sys
from sovereign_client import *
address, key, scene, *people = sys.argv[1:] or os.environ["ASKED"].split()
question = may_read("recommender", scene, people[0], ["age"])
found = Question(question.subject, question.action, Entity("customer"), question.context)
last = []

def shown(answer, decision, batch, named, rows, results, uses, changes):
    print(answer.reason, answer["age"].view, decision.allowed, *(each.allowed for each in batch))
    print(*(f"{each.customer}:{each.reason}:{each['age'].view}" for each in named))
    ids = [each.customer for each in rows]
    print(people[0] in ids, people[1] in ids)
    print({"type": "customer", "id": people[0]} in results, len(results) == len(rows))
    print(uses.service, scene in [each.scene for each in uses.uses], changes[-1].do)

def plain():
    with Client(address, key) as gate:
        with gate.named(scene, people, ["age"]) as named, gate.rows(scene, ["age"]) as rows:
            shown(gate.read(scene, people[0], ["age"], on_behalf_of="e.mueller"),
                  gate.decide(question),
                  gate.decide_all([question, may_read("x", scene, people[0])]),
                  [*named], [*rows], [*gate.search("resource", found)], gate.uses(),
                  [*gate.changes()])
            assert named.whole and rows.whole and rows.evidence.entry > named.evidence.entry

async def with_asyncio():
    async with AsyncClient(address, key) as gate:
        async with gate.named(scene, people, ["age"]) as named, gate.rows(scene, ["age"]) as rows:
            shown(await gate.read(scene, people[0], ["age"], on_behalf_of="e.mueller"),
                  await gate.decide(question),
                  await gate.decide_all([question, may_read("x", scene, people[0])]),
                  [each async for each in named], [each async for each in rows],
                  [each async for each in gate.search("resource", found)], await gate.uses(),
                  [each async for each in gate.changes()])
            assert named.whole and rows.whole and rows.evidence.entry > named.evidence.entry

plain()
print("--")
asyncio.run(with_asyncio())
"""


def test_g184_both_clients_call_every_endpoint_alike(
    python: Path, site: Site, newcomers: Iterator[str]
) -> None:
    granted, withdrawn = next(newcomers), next(newcomers)
    for each in (granted, withdrawn):
        site.customer(each).switch(SCENE, "allow")
    site.read(KEYED, SCENE, withdrawn, "age")
    site.customer(withdrawn).switch(SCENE, "withdraw")
    asked = " ".join([site.address, issue(site, KEYED), SCENE, granted, withdrawn])
    plain, with_asyncio = ran(python, EVERYTHING, ASKED=asked).split("--\n")
    assert plain.splitlines() == [
        "granted personal True True False",
        f"{granted}:granted:personal {withdrawn}:withdrawn:synthetic",
        "True False",
        "True True",
        f"{KEYED} True forget",
    ]
    assert with_asyncio == plain
