"""Clause 1.12 of specs/receipt.md: how customers and others come by a consent record."""

import json
from pathlib import Path
from shutil import copytree

import pytest
from rdflib import Graph, Literal, Namespace, URIRef
from rdflib.namespace import DCTERMS, RDF
from starlette.testclient import TestClient
from typer.testing import CliRunner

from gate.contracts.scene import Scene
from gate.contracts.scene_file import load_scene
from gate.contracts.source import load_source
from ledger.events.envelope import Granted, KeyEnrolled
from portal.archive import pack
from portal.archive.content import archive
from portal.archive.holding import CustomerRecords
from portal.commands import app
from portal.consent import wording
from portal.operations.wiring import Product
from portal.web import i18n
from steward.contracts.archive import ContractArchive
from steward.language import catalogue
from tests.bank import BANK, SCENES_FOLDER, SOURCE_CONTRACT
from tests.ledger.events import PASSKEY, WORDING
from tests.portal.conftest import START, Clock, browser, copy, sign_in
from tests.steward.receipts import DPV, broken, graph, looked_at

ME, OTHER = "c00007", "c00008"
DCAT = Namespace("http://www.w3.org/ns/dcat#")
SPDX = Namespace("http://spdx.org/rdf/terms#")
SET = {
    "controller_name": "Bank AG",
    "controller_id": "https://bank.example",
    "controller_address": "1 Main Street, Dublin",
    "controller_email": "privacy@bank.example",
    "jurisdiction": "IE",
    "storage_location": "IE",
}


def unstated(folder: Path) -> Path:
    """The demonstration's company, which does not say who is responsible."""
    made = copytree(BANK, folder / "company")
    path, facts = made / "company.toml", ("name", "id", "address", "email", "juri", "storage")
    kept = [line for line in path.read_text("utf-8").splitlines() if not line.startswith(facts)]
    path.write_text("\n".join(kept), "utf-8")
    return made


def index_of(product: Product, subject: str = ME) -> int:
    return product.ledger.history(subject)[0].index


@pytest.fixture
def proof(product: Product, tmp_path: Path) -> Path:
    """A customer's receipt, as it was downloaded."""
    file = tmp_path / "receipt.tlog-proof"
    file.write_bytes(product.ledger.receipt(index_of(product), ME).encode())
    return file


@pytest.mark.usefixtures("still")
def test_a_customer_downloads_the_record_of_a_decision(
    customer: TestClient, product: Product
) -> None:
    index = index_of(product)
    answer = customer.get(f"/customer/receipts/{index}/jsonld")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/ld+json"
    assert f'filename="receipt-{index}.jsonld"' in answer.headers["content-disposition"]
    data = graph(answer.json())
    assert broken(data) == set()
    assert 0 not in looked_at(data).values()
    assert ME not in answer.text


@pytest.mark.usefixtures("still")
def test_the_record_of_every_decision_of_a_customer_states_all_that_it_must(
    customer: TestClient, product: Product
) -> None:
    for each in product.ledger.history(ME):
        data = graph(customer.get(f"/customer/receipts/{each.index}/jsonld").json())
        assert broken(data) == set()
        (use,) = data.objects(None, DPV.hasProcess)
        assert [*data.objects(use, DCTERMS.identifier)] == [Literal(each.event.scene)]


@pytest.mark.usefixtures("still")
def test_anothers_record_does_not_exist(customer: TestClient, product: Product) -> None:
    answer = customer.get(f"/customer/receipts/{index_of(product, OTHER)}/jsonld")
    assert answer.status_code == 404


@pytest.mark.usefixtures("still")
def test_nobody_gets_a_record_without_signing_in(visitor: TestClient, product: Product) -> None:
    index = index_of(product)
    answer = visitor.get(f"/customer/receipts/{index}/jsonld", follow_redirects=False)
    assert answer.status_code == 303


def test_an_act_on_keys_has_a_receipt_and_no_record(customer: TestClient, product: Product) -> None:
    said = product.ledger.draft(ME, KeyEnrolled(PASSKEY), at=START, wording=WORDING)
    index = product.ledger.record([said])[0].index
    assert customer.get(f"/customer/receipts/{index}").status_code == 200
    assert customer.get(f"/customer/receipts/{index}/jsonld").status_code == 404
    assert "/jsonld" not in customer.get(f"/customer/receipts/{index}/paper").text


@pytest.mark.usefixtures("still")
def test_the_receipt_on_paper_leads_to_the_record(customer: TestClient, product: Product) -> None:
    address = f"/customer/receipts/{index_of(product)}"
    assert f'href="{address}/jsonld"' in customer.get(f"{address}/paper").text


def test_no_record_is_given_while_nobody_is_said_to_be_responsible(
    seeded: Path, tmp_path: Path, clock: Clock
) -> None:
    product = copy(seeded, tmp_path / "home", company=str(unstated(tmp_path)))
    index = index_of(product)
    with browser(product, clock) as client:
        sign_in(client, ME)
        settings = client.app.state.context.product.settings  # type: ignore[attr-defined] # ours
        assert client.get(f"/customer/receipts/{index}/jsonld").status_code == 404
        for name, value in SET.items():
            object.__setattr__(settings, name, value)
        data = graph(client.get(f"/customer/receipts/{index}/jsonld").json())
    assert [*data.objects(URIRef(SET["controller_id"]), DPV.hasName)] == [Literal("Bank AG")]


@pytest.mark.usefixtures("still")
def test_the_command_makes_the_same_of_the_file_that_the_customer_keeps(
    customer: TestClient, product: Product, proof: Path, tmp_path: Path
) -> None:
    out = tmp_path / "record.jsonld"
    done = CliRunner().invoke(app, ["consent-record", str(proof), "--demo", "--out", str(out)])
    assert done.exit_code == 0, done.output
    theirs = customer.get(f"/customer/receipts/{index_of(product)}/jsonld").json()
    ours = json.loads(out.read_text("utf-8"))
    assert ours.pop("dct:created") != theirs.pop("dct:created")
    assert ours == theirs


@pytest.mark.usefixtures("still")
def test_the_command_prints_the_record_of_the_company_that_the_settings_name(
    proof: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in SET.items() | {("company", str(BANK))}:
        monkeypatch.setenv(f"SOVEREIGN_{name.upper()}", value)
    done = CliRunner().invoke(app, ["consent-record", str(proof)])
    assert done.exit_code == 0, done.output
    data = graph(json.loads(done.stdout))
    assert broken(data) == set()
    assert "loc#IE" in {
        str(each).rpartition("/")[2] for each in data.objects(None, DPV.hasLocation)
    }


REFUSED: dict[str, tuple[bytes, list[str], str]] = {
    "no text": (b"\xff\xfe", ["--demo"], "want a receipt, found"),
    "no receipt": (b"Dear customer\n", ["--demo"], "not a tlog-proof"),
}


@pytest.mark.parametrize("why", REFUSED)
def test_the_command_refuses_what_is_no_receipt(tmp_path: Path, why: str) -> None:
    data, options, wanted = REFUSED[why]
    file = tmp_path / "receipt"
    file.write_bytes(data)
    done = CliRunner().invoke(app, ["consent-record", str(file), *options])
    assert done.exit_code == 1
    assert wanted in done.stderr


@pytest.mark.usefixtures("still")
def test_the_command_refuses_while_nobody_is_said_to_be_responsible(
    proof: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOVEREIGN_COMPANY", str(unstated(tmp_path)))
    done = CliRunner().invoke(app, ["consent-record", str(proof)])
    assert done.exit_code == 1
    assert "found no controller_name" in done.stderr


@pytest.mark.usefixtures("still")
def test_the_index_of_an_archive_is_json_ld_that_names_every_file_and_its_digest(
    product: Product,
) -> None:
    held = CustomerRecords(
        product.home,
        product.ledger,
        product.source,
        product.scenes,
        product.gate.source,
        catalogue.load(),
    )
    opened = pack.unpacked(archive(held, ME, START))
    base = "urn:x-archive:/"
    data = Graph().parse(data=json.dumps(opened.index), format="json-ld", publicID=base)
    (index,) = data.subjects(RDF.type, DCAT.Dataset)
    described = {*data.objects(index, DCAT.distribution)}
    assert {str(each).removeprefix(base) for each in described} == opened.files.keys()
    for each in described:
        assert (each, RDF.type, DCAT.Distribution) in data
        assert [*data.objects(each, DCAT.byteSize)]
        (checksum,) = data.objects(each, SPDX.checksum)
        assert [*data.objects(checksum, SPDX.checksumValue)]


def older(folder: Path, product: Product) -> Scene:
    """An earlier version of a scene's contract: other words, and another retention."""
    scene, source = folder / "old.odcs.yaml", SOURCE_CONTRACT
    text = (SCENES_FOLDER / "direct-marketing.odcs.yaml").read_text("utf-8")
    text = text.replace("version: 1.0.1", "version: 0.9.0", 1).replace("value: 180,", "value: 30,")
    scene.write_text(text.replace("We send you offers", "You get offers"), "utf-8")
    old = load_scene(scene, load_source(source))
    ContractArchive(product.home / "contracts").keep(scene, source, old.digest)
    return old


def test_a_record_is_about_the_version_of_the_contract_whose_words_were_shown(
    customer: TestClient, product: Product, tmp_path: Path
) -> None:
    old, present = older(tmp_path, product), product.scenes["direct-marketing"]
    act = Granted("direct-marketing", ("email",), None)
    for scene, days in ((old, "P30D"), (present, "P180D")):
        said = product.ledger.draft(
            ME, act, at=START, wording=wording.wording(scene, i18n.load()["zh-CN"])
        )
        index = product.ledger.record([said])[0].index
        data = graph(customer.get(f"/customer/receipts/{index}/jsonld").json())
        (use,) = data.objects(None, DPV.hasProcess)
        (contract,) = data.objects(use, DCTERMS.source)
        assert str(contract).endswith(scene.digest)
        assert [*data.objects(contract, DCTERMS.hasVersion)] == [Literal(scene.version)]
        assert days in {str(each) for each in data.objects(None, RDF.value)}


def test_words_of_no_page_are_about_the_version_in_force(
    customer: TestClient, product: Product, tmp_path: Path
) -> None:
    older(tmp_path, product)
    (product.home / "contracts" / "damaged").mkdir()
    act = Granted("direct-marketing", ("email",), None)
    said = product.ledger.draft(ME, act, at=START, wording=WORDING)
    index = product.ledger.record([said])[0].index
    data = graph(customer.get(f"/customer/receipts/{index}/jsonld").json())
    (use,) = data.objects(None, DPV.hasProcess)
    (contract,) = data.objects(use, DCTERMS.source)
    assert str(contract).endswith(product.scenes["direct-marketing"].digest)
