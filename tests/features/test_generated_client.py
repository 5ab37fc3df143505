"""A client that `openapi-python-client` makes from the API description calls every endpoint (G190).

The generator is installed into an environment of its own, from the package index: it wants another
`typer` than the product. So this runs in `make prove` only.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.features.loopback import PLAIN
from tests.features.served import ROOT, Person, Site

GENERATOR = "openapi-python-client==0.29.1"
SCENE, SERVICE = "recommendation", "recommender"

# Calls every module of the generated client; prints each operation with its status, and what the
# answer was parsed as.
PROGRAM = """
import importlib, json, pkgutil, sys
import made, made.api
from made import AuthenticatedClient

address, scene, service, me = sys.argv[1:]
client = AuthenticatedClient(address, f"demo-{service}")
subject, action = {"type": "service", "id": service}, {"name": "read"}
resource, context = {"type": "customer", "id": me}, {"scene": scene, "fields": ["age"]}
question = {"subject": subject, "action": action, "resource": resource, "context": context}
asked = {"scene": scene, "fields": ["age"]}
bodies = {
    "read": asked | {"customer": me}, "named": asked | {"ids": [me]}, "rows": asked,
    "evaluation": question, "evaluations": {"evaluations": [question]},
    "table": {"scene": scene, "fields": ["age"]},
    "subjects": question | {"subject": {"type": "service"}},
    "resources": question | {"resource": {"type": "customer"}},
    "actions": {"subject": subject, "resource": resource, "context": context},
    "propose_v1_proposals_post": {"subject": me, "text": "We refund you."},
    "ruling_v1_proposals_number_ruling_post": {"subject": me},
    "report_v1_signals_post": {"note": "not signed"},
}

def call(name, **more):
    module = modules[name]
    if name in bodies:
        kind = module._get_kwargs.__annotations__["body"]
        more["body"] = kind.from_dict(bodies[name])
    answer = module.sync_detailed(client=client, **more)
    parsed = answer.parsed
    text = parsed.payload.read(9)[:4].hex() if type(parsed).__name__ == "File" else ""
    print(json.dumps([name, int(answer.status_code), type(parsed).__name__, text]))
    return parsed

modules = {
    each.name.rpartition(".")[2]: importlib.import_module(each.name)
    for each in pkgutil.walk_packages(made.api.__path__, "made.api.") if not each.ispkg
}
last = ("explain_v1_decisions_post", "ruling_v1_proposals_number_ruling_post")
found = {name: call(name) for name in sorted(modules) if name not in last}
read, number = found["read"], found["propose_v1_proposals_post"].to_dict()["number"]
bodies[last[0]] = {
    "subject": me, "outcome": "shown", "inputs": {"age": read.fields["age"].value},
    "reasons": ["near"], "model": "m", "model_version": "1",
    "read_log": read.read_log, "entry": read.entry,
}
call(last[0])
call(last[1], number=number)
"""


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the programs of an environment that has the generator."""
    folder = tmp_path_factory.mktemp("generator")
    uv = str(Path(sys.executable).with_name("uv"))
    python = str(folder / "bin" / "python")
    subprocess.run([uv, "venv", "-q", "--clear", str(folder)], check=True)
    subprocess.run([uv, "pip", "install", "-q", "--python", python, GENERATOR], check=True)
    return folder / "bin"


@pytest.mark.prove
def test_g190_a_generated_client_calls_every_endpoint(
    generator: Path, site: Site, customer: Person, tmp_path: Path
) -> None:
    customer.switch(SCENE, "allow")
    described = httpx.get(f"{site.address}/openapi.json", verify=PLAIN).json()
    (tmp_path / "openapi.json").write_text(json.dumps(described))
    made = [str(generator / "openapi-python-client"), "generate", "--path", "openapi.json"]
    made += ["--config", str(ROOT / "clients" / "openapi-python-client.yml")]
    made += ["--output-path", "made", "--meta", "none", "--fail-on-warning"]
    with_ruff = os.environ | {"PATH": f"{generator}:{os.environ['PATH']}"}
    subprocess.run(made, cwd=tmp_path, env=with_ruff, check=True)
    asked = [site.address, SCENE, SERVICE, customer.subject]
    program = [str(generator / "python"), "-c", PROGRAM, *asked]
    ran = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    answers = {name: rest for name, *rest in map(json.loads, ran.stdout.splitlines())}
    assert len(answers) == sum(len(each) for each in described["paths"].values())
    unsigned = answers.pop("report_v1_signals_post")
    assert unsigned[0] == 400, "its figures are signed with a registered key"
    assert {name: each for name, each in answers.items() if each[0] not in {200, 201}} == {}
    arrow = [answers[name][1:] for name in ("named", "rows", "table")]
    assert arrow == [["File", "ffffffff"]] * 3
    assert [name for name, each in answers.items() if each[1] in {"NoneType", "Problem"}] == []
