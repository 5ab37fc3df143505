"""The typed client for Node asks a served company, and takes no part for the whole (G191)."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clients.answering import Reply, answering
from tests.features.served import ROOT, Site
from tests.interop.opinions import has_node
from tests.portal.test_integrate import example

CLIENT = ROOT / "clients" / "typescript" / "client.js"
SCENE, SERVICE = "recommendation", "recommender"
LINE = b'{"customer":"c1","age":31,"age.view":"personal"}\n'

pytestmark = pytest.mark.skipif(not has_node(), reason="needs Node 20 or later")

SERVED = """
const [granted, withdrawn] = people;
const { fields, reason } = await gate.read(scene, granted, ["age"], { onBehalfOf: "e.mueller" });
const named = await all(gate.named(scene, people, ["age"]));
const rows = await all(gate.rows(scene, ["age"]));
const changes = await all(gate.changes());
const question = { subject: { type: "service", id: service }, action: { name: "read" },
  resource: { type: "customer", id: granted }, context: { scene, fields: ["age"] } };
print([reason, fields.age.view, (await gate.decide(question)).decision,
  named.map((row) => [row.customer, row.reason, row.fields.age.view, "value" in row.fields.age]),
  people.map((id) => rows.some((row) => row.customer === id)),
  changes.at(-1).do, (await gate.uses()).service]);
"""


def ran(program: str, address: str, *people: str) -> Any:
    """What a program prints that has a client `gate`."""
    begun = f"""
import {{ Client }} from {json.dumps(CLIENT.as_uri())};
const all = async (found) => {{
  const each = [];
  for await (const one of found) each.push(one);
  return each;
}};
const print = (found) => console.log(JSON.stringify(found));
const [address, scene, service, ...people] = process.argv.slice(1);
const gate = new Client(address, `demo-${{service}}`);
"""
    command = ["node", "--no-warnings", "--input-type=module", "-e", begun + program, "--"]
    command += [address, SCENE, SERVICE, *people]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_g191_it_asks_a_served_company(site: Site, newcomers: Iterator[str]) -> None:
    granted, withdrawn = next(newcomers), next(newcomers)
    for each in (granted, withdrawn):
        site.customer(each).switch(SCENE, "allow")
    site.read(SERVICE, SCENE, withdrawn, "age")
    site.customer(withdrawn).switch(SCENE, "withdraw")
    assert ran(SERVED, site.address, granted, withdrawn) == [
        "granted",
        "personal",
        True,
        [[granted, "granted", "personal", True], [withdrawn, "withdrawn", "synthetic", False]],
        [True, False],
        "forget",
        SERVICE,
    ]


TRY = """
let name = "no error", count = 0;
try { for await (const row of gate.rows(scene, ["age"])) count++; }
catch (error) { name = error.constructor.name; }
print([name, count]);
"""
BROKEN: dict[str, tuple[Reply, list[Any]]] = {
    "whole": (Reply(body=LINE * 2), ["no error", 2]),
    "less than its length": (Reply(body=LINE, cut=True), ["IncompleteError", 1]),
    "inside a row": (Reply(body=LINE + LINE[:9]), ["IncompleteError", 1]),
    "inside a character": (Reply(body=LINE + b"\xc3"), ["UnknownAnswerError", 1]),
    "another view": (Reply(body=LINE.replace(b"personal", b"true")), ["UnknownAnswerError", 0]),
    "a view of JavaScript": (
        Reply(body=LINE.replace(b'"personal"', b'"constructor"')),
        ["UnknownAnswerError", 0],
    ),
    "another field": (Reply(body=LINE.replace(b"}", b',"job":1}')), ["UnknownAnswerError", 0]),
    "no UTF-8": (Reply(body=LINE.replace(b"c1", b"\xff")), ["UnknownAnswerError", 0]),
    "refused": (Reply(403, b'{"title": "no"}'), ["ProblemError", 0]),
    "a redirect": (Reply(307, b"", {"Location": "http://127.0.0.1:9/"}), ["UnknownAnswerError", 0]),
}


@pytest.mark.parametrize("why", BROKEN)
def test_g191_it_takes_no_part_for_the_whole(why: str) -> None:
    reply, said = BROKEN[why]
    with answering(lambda _: reply) as server:
        assert ran(TRY, server.address) == said
        assert len(server.paths) == 1


def test_g191_it_asks_again_no_sooner_than_the_gate_says() -> None:
    replies = [Reply(429, b"{}", {"Retry-After": "1"}), Reply(503, b"{}"), Reply(body=LINE)]
    with answering(replies.__getitem__) as server:
        timed = TRY.replace("let name", "const begun = Date.now(); let name")
        timed = timed.replace("print([name, count])", "print([name, Date.now() - begun >= 1000])")
        assert ran(timed, server.address) == ["no error", True]
        assert len(server.paths) == 3


def test_g191_the_example_runs_where_the_package_is_installed(site: Site, tmp_path: Path) -> None:
    (tmp_path / "node_modules").mkdir()
    (tmp_path / "node_modules" / "sovereign-client").symlink_to(CLIENT.parent)
    program = example("From Node").replace("http://localhost:8000", site.address)
    (tmp_path / "program.mjs").write_text(program)
    done = subprocess.run(
        ["node", "--no-warnings", "program.mjs"],
        cwd=tmp_path,
        env=os.environ | {"SOVEREIGN_KEY": "demo-analytics"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert {"personal", "synthetic"} & {*done.stdout.splitlines()}


TYPED = """
import { Client } from "../client.js";
const gate = new Client("https://gate.example", async () => "token");
const { fields } = await gate.read("s", "c1", ["age"], { purpose: "p" });
if (fields.age.view === "personal") console.log(fields.age.value);
if (fields.age.view === "synthetic") console.log(fields.age.syntheticValue);
for await (const row of gate.named("s", ["c1"], ["age"])) console.log(row.customer, row.reason);
"""
WRONG = "console.log(fields.age.value);\n"


@pytest.mark.prove  # fetches the compiler
def test_g191_its_types_tell_a_drawn_value_from_the_customers(tmp_path: Path) -> None:
    for name in ("client.js", "client.d.ts", "package.json"):
        (tmp_path / name).write_text((CLIENT.parent / name).read_text("utf-8"))
    (tmp_path / "try").mkdir()
    for program, faults in ((TYPED, 0), (TYPED + WRONG, 1)):
        (tmp_path / "try" / "it.ts").write_text(program)
        compiler = ["npm", "exec", "--yes", "--package=typescript@5", "--", "tsc", "--noEmit"]
        compiler += ["--strict", "--target", "es2022", "--module", "nodenext", "try/it.ts"]
        compiler += ["--lib", "es2022,dom,esnext.asynciterable"]
        done = subprocess.run(
            compiler, cwd=tmp_path, capture_output=True, text=True, check=False, env=os.environ
        )
        assert done.stdout.count("error TS") == faults, done.stdout + done.stderr
        assert faults == 0 or "Property 'value' does not exist on type" in done.stdout
