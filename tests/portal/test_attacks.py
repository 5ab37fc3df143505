"""Attacks on the portal: each is tried, and must gain nothing. Section 6 of specs/portal.md."""

import logging
import re
import shutil
import statistics
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest
from starlette.testclient import TestClient

from portal.auth.session import COOKIE
from portal.consent import wording
from portal.operations.settings import Settings
from portal.operations.wiring import Product, open_product
from portal.web import i18n
from portal.web.security import own_path
from tests.portal.conftest import Clock, browser, sign_in

ME, OTHER = "c00007", "c00008"
SCENE = "segmentation"
XSS = '"><script>alert(1)</script><img src=x onerror=alert(1)>{{7*7}}'
OWN_PAGES = [
    "/customer",
    "/customer/history",
    "/customer/reads",
    "/customer/map",
    "/customer/keys",
    "/customer/mandates",
]


@pytest.fixture
def other(product: Product, clock: Clock) -> Iterator[TestClient]:
    with browser(product, clock) as client:
        yield sign_in(client, OTHER)


def form(product: Product) -> dict[str, str]:
    words = wording.token(product.scenes[SCENE], i18n.load()["en"])
    return {"version": str(product.ledger.version(ME)), "words": words, "back": "centre"}


@pytest.mark.usefixtures("still")
def test_another_customers_receipt_is_answered_like_one_that_does_not_exist(
    customer: TestClient, product: Product
) -> None:
    theirs = product.ledger.history(OTHER)[0].index
    missing = product.ledger.size + 1000
    answers = [customer.get(f"/customer/receipts/{index}") for index in (theirs, missing)]
    assert [each.status_code for each in answers] == [404, 404]
    assert len({re.sub(r"\d+", "", each.text) for each in answers}) == 1


@pytest.mark.usefixtures("still")
@pytest.mark.parametrize("path", OWN_PAGES)
def test_no_page_of_one_customer_shows_another(
    path: str, customer: TestClient, other: TestClient, product: Product
) -> None:
    names = {
        subject: product.gate.source.row(subject, ["name", "email", "phone"])
        for subject in (ME, OTHER)
    }
    for client, stranger in ((customer, OTHER), (other, ME)):
        page = client.get(path).text
        row = names[stranger]
        assert row is not None
        assert not [value for value in row.values() if value in page]


def test_one_customers_press_changes_nothing_of_another(
    customer: TestClient, product: Product
) -> None:
    version = product.ledger.version(OTHER)
    customer.post(f"/customer/scenes/{SCENE}/allow", data=form(product) | {"subject": OTHER})
    customer.post(f"/customer/scenes/{SCENE}/allow?customer={OTHER}", data=form(product))
    assert product.ledger.version(OTHER) == version


@pytest.mark.usefixtures("still")
@pytest.mark.parametrize("path", [*OWN_PAGES, "/customer/receipts/0", f"/customer/scenes/{SCENE}"])
def test_nobody_sees_a_customers_page_without_signing_in(path: str, visitor: TestClient) -> None:
    page = visitor.get(path, follow_redirects=False)
    assert (page.status_code, page.headers["location"]) == (303, "/")
    program = visitor.get(path, headers={"Accept": "application/json"})
    assert program.status_code == 401


CROSS_SITE = {
    "from another site": {"Sec-Fetch-Site": "cross-site"},
    "from a sister domain": {"Sec-Fetch-Site": "same-site"},
    "typed into the address bar": {"Sec-Fetch-Site": "none"},
    "old browser, another origin": {"Sec-Fetch-Site": "", "Origin": "https://evil.example"},
    "old browser, another port": {"Sec-Fetch-Site": "", "Origin": "http://testserver:81"},
    "old browser, no origin at all": {"Sec-Fetch-Site": ""},
    "old browser, origin null": {"Sec-Fetch-Site": "", "Origin": "null"},
}
WRITES = [
    f"/customer/scenes/{SCENE}/allow",
    "/login",
    "/logout",
    "/language",
    "/handoff",
    "/docs",
    "/enter",
    "/receipts",
    "/customer/gpc",
    "/customer/signed",
    "/customer/continue",
    "/customer/keys",
    "/customer/keys/options",
    "/customer/recovery/cancel",
    "/customer/mandates",
]


@pytest.mark.usefixtures("still")
@pytest.mark.parametrize("headers", CROSS_SITE.values(), ids=CROSS_SITE.keys())
@pytest.mark.parametrize("path", WRITES)
def test_no_other_site_can_write(
    path: str, headers: dict[str, str], customer: TestClient, product: Product
) -> None:
    version = product.ledger.version(ME)
    if not headers["Sec-Fetch-Site"]:
        headers = {name: value for name, value in headers.items() if value}
        del customer.headers["Sec-Fetch-Site"]
    answer = customer.post(path, data=form(product), headers=headers, follow_redirects=False)
    assert answer.status_code == 403
    assert product.ledger.version(ME) == version


def test_an_old_browser_writes_from_our_own_pages(customer: TestClient, product: Product) -> None:
    del customer.headers["Sec-Fetch-Site"]
    headers = {"Origin": "http://testserver"}
    path = f"/customer/scenes/{SCENE}/allow"
    assert customer.post(path, data=form(product), headers=headers).status_code == 200


@pytest.mark.usefixtures("still")
@pytest.mark.parametrize("path", WRITES[:1])
def test_a_get_never_writes(path: str, customer: TestClient, product: Product) -> None:
    version = product.ledger.version(ME)
    assert customer.get(path).status_code in {404, 405}
    assert product.ledger.version(ME) == version


@pytest.mark.usefixtures("still")
def test_a_planted_session_gains_nothing(visitor: TestClient, product: Product) -> None:
    planted = {"Cookie": f"{COOKIE}=planted-by-an-attacker"}
    answer = visitor.post("/login", data={"customer": ME}, headers=planted, follow_redirects=False)
    assert "planted-by-an-attacker" not in answer.headers["set-cookie"]
    with browser(product, Clock()) as attacker:
        attacker.cookies.set(COOKIE, "planted-by-an-attacker")
        assert attacker.get("/customer", follow_redirects=False).status_code == 303


@pytest.mark.usefixtures("still")
def test_signing_in_again_ends_the_session_before(customer: TestClient) -> None:
    before = str(customer.cookies.get(COOKIE))
    sign_in(customer, OTHER)
    customer.cookies.clear()
    customer.cookies.set(COOKIE, before)
    assert customer.get("/customer", follow_redirects=False).status_code == 303


@pytest.mark.usefixtures("still")
def test_after_signing_out_the_cookie_is_worth_nothing(customer: TestClient) -> None:
    before = str(customer.cookies.get(COOKIE))
    customer.post("/logout")
    customer.cookies.set(COOKIE, before)
    assert customer.get("/customer", follow_redirects=False).status_code == 303


@pytest.mark.usefixtures("still")
@pytest.mark.parametrize("minutes", [30, 12 * 60])
def test_a_forgotten_session_ends(customer: TestClient, clock: Clock, minutes: int) -> None:
    clock.advance(minutes=minutes)
    assert customer.get("/customer", follow_redirects=False).status_code == 303


@pytest.mark.usefixtures("still")
def test_a_busy_session_ends_after_twelve_hours(customer: TestClient, clock: Clock) -> None:
    for _ in range(36):
        clock.advance(minutes=20)
        page = customer.get("/customer", follow_redirects=False)
    assert page.status_code == 303


@pytest.mark.usefixtures("still")
def test_scripts_cannot_read_the_session_cookie(visitor: TestClient) -> None:
    answer = visitor.post("/login", data={"customer": ME}, follow_redirects=False)
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie


REFLECTED = {
    "login": ("post", "/login", {"customer": XSS}),
    "language": ("post", "/language", {"language": XSS, "next": XSS}),
    "code": ("post", "/handoff", {"code": XSS[:40]}),
    "try it": ("post", "/docs", {"service": XSS, "scene": XSS, "customer": XSS}),
    "map": ("get", "/customer/map", {"item": XSS}),
    "page": ("get", "/customer/history", {"page": XSS}),
    "scene": ("get", f"/customer/scenes/{XSS}", {}),
    "path": ("get", f"/{XSS}", {}),
}


@pytest.mark.usefixtures("still")
@pytest.mark.parametrize(("method", "path", "fields"), REFLECTED.values(), ids=REFLECTED.keys())
def test_no_text_comes_back_as_markup(
    method: str, path: str, fields: dict[str, str], customer: TestClient
) -> None:
    if method == "get":
        answer = customer.get(path, params=fields)
    else:
        answer = customer.post(path, data=fields)
    assert "<script>alert" not in answer.text
    assert "<img src=x" not in answer.text
    assert "script-src 'self'" in answer.headers["content-security-policy"]


def test_a_stored_name_does_not_become_markup(seeded: Path, tmp_path: Path, clock: Clock) -> None:
    shutil.copytree(seeded, tmp_path / "home")
    with duckdb.connect(tmp_path / "home" / "customers.duckdb") as rows:
        rows.execute("UPDATE customer SET name = ? WHERE id = ?", [XSS, ME])
    product = open_product(Settings(data_dir=tmp_path / "home", demo=True))
    with browser(product, clock) as client:
        page = sign_in(client, ME).get("/customer").text
    assert "<script>alert" not in page
    assert "{{7*7}}" in page  # shown as it is, not computed


PAGES = ["/", "/customer", "/regulator", "/docs", "/nothing", "/static/style.css", "/v1/read"]


@pytest.mark.usefixtures("still")
@pytest.mark.parametrize("path", PAGES)
def test_every_answer_forbids_framing_sniffing_and_inline_script(
    path: str, customer: TestClient
) -> None:
    headers = customer.get(path).headers
    policy = headers["content-security-policy"]
    assert "frame-ancestors 'none'" in policy
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"


@pytest.mark.usefixtures("still")
def test_an_encrypted_connection_is_demanded_from_then_on(product: Product, clock: Clock) -> None:
    with browser(product, clock) as client:
        client.base_url = "https://testserver"
        answer = client.get("/")
        signed = client.post("/login", data={"customer": ME}, follow_redirects=False)
    assert "max-age=" in answer.headers["strict-transport-security"]
    assert "secure" in signed.headers["set-cookie"].lower()


ELSEWHERE = {
    "another host": "https://evil.example/",
    "no scheme": "//evil.example/",
    "backslashes": "/\\evil.example/",
    "script": "javascript:alert(1)",
    "line break": "/\r\nSet-Cookie: a=b",
    "relative": "evil",
    "nothing": "",
}


@pytest.mark.usefixtures("still")
@pytest.mark.parametrize("to", ELSEWHERE.values(), ids=ELSEWHERE.keys())
def test_no_redirect_leaves_this_site(to: str, visitor: TestClient) -> None:
    assert own_path(to) == "/"
    answer = visitor.post("/language", data={"language": "en", "next": to}, follow_redirects=False)
    assert answer.headers["location"] == "/"


def code_of(page: str) -> str:
    found = re.search(r"[0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z]{4}", page)
    assert found is not None
    return found[0]


@pytest.fixture
def phone(product: Product, customer: TestClient) -> Iterator[TestClient]:
    with TestClient(customer.app, headers=dict(customer.headers)) as client:
        client.headers.pop("cookie", None)
        yield client


def arrive(phone: TestClient, code: str) -> int:
    return phone.post("/handoff", data={"code": code}, follow_redirects=False).status_code


@pytest.mark.usefixtures("still")
def test_a_code_signs_the_phone_in_once(customer: TestClient, phone: TestClient) -> None:
    code = code_of(customer.post("/customer/handoff").text)
    assert arrive(phone, code.lower().replace("-", " ")) == 303
    assert phone.get("/customer").status_code == 200
    phone.cookies.clear()
    assert arrive(phone, code) == 401


@pytest.mark.usefixtures("still")
def test_a_code_is_over_after_two_minutes(
    customer: TestClient, phone: TestClient, clock: Clock
) -> None:
    code = code_of(customer.post("/customer/handoff").text)
    clock.advance(minutes=2)
    assert arrive(phone, code) == 401


@pytest.mark.usefixtures("still")
def test_a_code_ends_with_the_session_that_made_it(customer: TestClient, phone: TestClient) -> None:
    code = code_of(customer.post("/customer/handoff").text)
    customer.post("/logout")
    assert arrive(phone, code) == 401


@pytest.mark.usefixtures("still")
def test_a_new_code_ends_the_one_before(customer: TestClient, phone: TestClient) -> None:
    first = code_of(customer.post("/customer/handoff").text)
    second = code_of(customer.post("/customer/handoff").text)
    assert arrive(phone, first) == 401
    assert arrive(phone, second) == 303


@pytest.mark.usefixtures("still")
def test_a_guessed_code_is_refused(phone: TestClient) -> None:
    assert arrive(phone, "2222-2222-2222") == 401


@pytest.mark.usefixtures("still")
def test_no_code_stands_in_an_address(customer: TestClient) -> None:
    page = customer.post("/customer/handoff")
    assert code_of(page.text) not in str(page.url)
    assert not re.search(r'(?:href|action|src)="[^"]*' + code_of(page.text), page.text)


@pytest.mark.usefixtures("still")
def test_signing_in_does_not_tell_whether_a_customer_exists(visitor: TestClient) -> None:
    pages = [visitor.post("/login", data={"customer": each}) for each in ("c99999", "nobody", "")]
    assert {page.status_code for page in pages[:2]} == {401}
    assert pages[0].text == pages[1].text


@pytest.mark.usefixtures("still")
def test_a_foreign_receipt_takes_as_long_as_a_missing_one(
    customer: TestClient, product: Product
) -> None:
    theirs = product.ledger.history(OTHER)[0].index
    took: dict[int, list[float]] = {theirs: [], product.ledger.size + 1000: []}
    for _ in range(40):
        for index, times in took.items():
            start = time.process_time()  # what else the machine does is not in it
            customer.get(f"/customer/receipts/{index}")
            times.append(time.process_time() - start)
    foreign, missing = (statistics.median(times) for times in took.values())
    assert abs(foreign - missing) < 0.5 * missing


@pytest.mark.usefixtures("still")
def test_without_the_demonstration_there_is_no_demonstration_login(
    product: Product, clock: Clock
) -> None:
    real = replace(product, settings=product.settings.model_copy(update={"demo": False}))
    with browser(real, clock) as client:
        assert client.post("/login", data={"customer": ME}).status_code == 401
        assert "c00007" not in client.get("/").text
        assert (
            client.post("/docs", data={"service": "a", "scene": "b", "customer": ME}).status_code
            == 404
        )
        token = {"Authorization": "Bearer demo-analytics"}
        asked = {"scene": SCENE, "customer": ME, "fields": ["age"]}
        assert client.post("/v1/read", json=asked, headers=token).status_code == 401


TRAVERSAL = {
    "static": "/static/..%2f..%2fpyproject.toml",
    "static name": "/static/../style.css",
    "log": "/log/consent/../../keys/consent.key",
    "log encoded": "/log/consent/%2e%2e/%2e%2e/keys/consent.key",
    "log name": "/log/..%2fkeys/checkpoint",
    "contract": "/contracts/..%2f..%2fsources%2fcustomer.odcs.yaml",
    "key": "/keys/consent.key",
}


@pytest.mark.usefixtures("still")
@pytest.mark.parametrize("path", TRAVERSAL.values(), ids=TRAVERSAL.keys())
def test_no_path_leads_out_of_what_is_published(path: str, visitor: TestClient) -> None:
    assert visitor.get(path).status_code == 404


@pytest.mark.usefixtures("still")
def test_no_log_line_and_no_address_names_anybody(
    customer: TestClient, product: Product, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    row = product.gate.source.row(ME, ["name", "email", "phone", "device_id"])
    assert row is not None
    code = code_of(customer.post("/customer/handoff").text)
    for path in [*OWN_PAGES, "/customer/receipts/0", "/nothing", f"/customer/scenes/{SCENE}"]:
        page = customer.get(path).text
        addresses = " ".join(re.findall(r'(?:href|action|src|hx-post)="([^"]*)"', page))
        assert not [value for value in (*row.values(), ME, code) if value in addresses]
    secrets = [*row.values(), code, str(customer.cookies.get(COOKIE))]
    assert not [value for value in secrets if value in caplog.text]
