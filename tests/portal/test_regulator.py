"""Clauses 4.1 and 4.2 of specs/portal.md: what a regulator gets, without a login."""

import re
from hashlib import sha256

import pytest
from starlette.testclient import TestClient

from portal.operations import release_service
from portal.operations.wiring import Product
from portal.web import i18n
from synthetic.evaluation.evaluate import SHARES, expected_loss
from synthetic.fitting.release import Release
from tests.portal.conftest import START

pytestmark = pytest.mark.usefixtures("still")


@pytest.fixture
def public(visitor: TestClient, product: Product) -> TestClient:
    product.publish()
    return visitor


def test_the_page_shows_the_logs_and_their_checkpoints(
    public: TestClient, product: Product
) -> None:
    page = public.get("/regulator").text
    assert product.ledger.origin in page
    assert product.reads.origin in page
    assert product.ledger.checkpoint().splitlines()[2] in page.replace("&#43;", "+")


def test_4_1_what_is_claimed_and_how_to_check_it_stands_before_logs_and_keys(
    public: TestClient,
) -> None:
    page = public.get("/regulator").text
    sections = re.findall(r'<h2 id="(\w+)-title"', page)
    assert sections[0] == "claims"
    assert sections[-2:] == ["logs", "keys"]
    claims = page[page.index('class="claims"') : page.index("</ul>")]
    targets = re.findall(r'href="(?:#([\w-]+)|/verify)"', claims)
    assert len(targets) == 4
    assert all(f'id="{each}"' in page for each in targets if each)


def test_the_tile_directory_can_be_downloaded(public: TestClient, product: Product) -> None:
    assert public.get("/log/consent/checkpoint").text == product.ledger.checkpoint()
    folder = product.home / "log" / "consent"
    files = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    assert len(files) >= 3
    for path in files:
        answer = public.get(f"/log/consent/{path.as_posix()}")
        assert answer.status_code == 200, path
        assert answer.content == (folder / path).read_bytes()


def test_every_verifier_key_can_be_downloaded_and_no_private_one(
    public: TestClient, product: Product
) -> None:
    for path in (product.home / "keys").glob("*.vkey"):
        answer = public.get(f"/keys/{path.name}")
        assert answer.text == path.read_text()
        assert answer.text.strip() in public.get("/regulator").text.replace("&#43;", "+")
    assert public.get("/consent.policy").text == (product.home / "consent.policy").read_text()
    assert public.get("/keys/surrogate.vkey").status_code == 404
    assert public.get("/keys/consent.key").status_code == 404


def test_a_contract_is_served_as_its_digest_in_the_log_names_it(
    public: TestClient, product: Product
) -> None:
    page = public.get("/regulator").text
    for scene in product.scenes.values():
        raw = public.get(f"/contracts/{scene.id}.odcs.yaml").content
        assert sha256(raw).hexdigest() == scene.digest
        assert scene.digest in page


def test_nothing_personal_is_public(public: TestClient, product: Product) -> None:
    row = product.gate.source.row("c00007", ["name", "email", "phone", "device_id"])
    assert row is not None
    folder = product.home / "log"
    raw = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    raw += public.get("/regulator").content
    assert not [value for value in row.values() if str(value).encode() in raw]
    # Six hexadecimal digits stand in some digest by chance: only by itself it would be the number.
    assert re.search(rb"(?<![0-9a-f])c00007(?![0-9a-f])", raw) is None


UNPUBLISHED = ["/log/nothing/checkpoint", "/log/consent/tile/9/999", "/contracts/none.odcs.yaml"]


@pytest.mark.parametrize("path", UNPUBLISHED)
def test_what_is_not_published_is_not_there(path: str, public: TestClient) -> None:
    assert public.get(path).status_code == 404


def test_half_a_directory_is_not_shown(public: TestClient, product: Product) -> None:
    folder = product.home / "log" / "half"
    folder.mkdir(exist_ok=True)
    (folder / "checkpoint").write_text("not a checkpoint\n")
    page = public.get("/regulator")
    assert page.status_code == 200
    assert "not a checkpoint" not in page.text


def test_a_release_is_shown_with_its_promise_and_its_record(
    product: Product, public: TestClient
) -> None:
    release = load_release(product)
    page = public.get("/regulator").text
    assert f"{float(release.statement.epsilon):.3f}" in page
    assert f"{float(release.statement.rho.rho):.4f}" in page
    record = public.get("/releases/segmentation.json").json()
    assert Release.from_body(record).id == release.id
    assert public.get("/releases/contract-service.json").status_code == 404


def test_a_releases_page_follows_from_its_public_record(
    product: Product, public: TestClient
) -> None:
    load_release(product)
    page = public.get("/regulator/releases/segmentation")
    assert page.status_code == 200
    record = Release.from_body(public.get("/releases/segmentation.json").json())
    assert str(record.statement) in page.text
    spoken = i18n.load()["en"]
    scene = product.scenes["segmentation"]
    anchor = product.gate.served("segmentation").anchor
    assert anchor is not None
    for share in SHARES:
        expected = expected_loss(anchor, share, scene.group_bys)
        assert f"<td>{spoken.share(expected.mean)}</td>" in page.text
        assert f"<td>{spoken.share(expected.p95)}</td>" in page.text
    for measured in anchor.served:
        sigma = spoken.number(float(measured.variance) ** 0.5)
        assert f"<td>{sigma}</td>" in page.text
    assert spoken.say("completion.release-anchored") in page.text
    assert spoken.say("completion.release-anchored.text") in page.text
    noise = expected_loss(anchor, 1.0, scene.group_bys)
    told = {"mean": spoken.share(noise.mean), "p95": spoken.share(noise.p95)}
    assert spoken.say("case.loss.text", **told) in page.text
    for each in (record, anchor):
        assert public.get(f"/releases/{each.id}.json").json() == each.body()
    assert f'href="/releases/{anchor.id}.json"' in page.text
    assert f"<dd>{spoken.number(anchor.rows)}</dd>" in page.text
    assert public.get("/releases/segmentation-0.json").status_code == 404
    for nothing in ("contract-service", "no-such-scene"):
        assert public.get(f"/regulator/releases/{nothing}").status_code == 404


def test_a_releases_page_states_the_error_of_tables_that_rest_on_the_statistics(
    product: Product, public: TestClient
) -> None:
    load_release(product)
    scene = product.scenes["segmentation"]
    release_service.release(product, product.scenes["anonymous-statistics"], START)
    basis = product.gate.release("anonymous-statistics")
    assert isinstance(basis, Release)
    page, spoken = public.get("/regulator/releases/segmentation").text, i18n.load()["en"]
    assert f'href="/releases/{basis.id}.json"' in page
    assert spoken.say("completion.everybody.text") in page
    assert spoken.say("completion.release-anchored.text") not in page
    for share in SHARES:
        expected = expected_loss(basis, share, scene.group_bys)
        assert f"<td>{spoken.share(expected.mean)}</td>" in page
    asked = {frozenset(each) for each in basis.workload} - {*map(frozenset, scene.group_bys)}
    assert asked, "the statistics count for other uses, too"
    whole = expected_loss(basis, 1.0, scene.group_bys)
    told = {"mean": spoken.share(whole.mean), "p95": spoken.share(whole.p95)}
    assert spoken.say("case.loss.text", **told) in page


def load_release(product: Product) -> Release:
    release_service.release(product, product.scenes["segmentation"], START)
    found = product.gate.release("segmentation")
    assert isinstance(found, Release)
    return found
