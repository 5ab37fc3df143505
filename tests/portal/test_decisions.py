"""A customer reads what was decided about them, and why (M17; section 3 of specs/portal.md)."""

from starlette.testclient import TestClient

from gate.reads.request import ReadRequest
from portal.operations.wiring import Product
from portal.web.pages import PortalContext
from steward.oversight.explanations import Explanation, Reference
from tests.portal.conftest import Clock, browser, sign_in
from tests.portal.test_customer import ME

OUTCOME = "called back <b>within a day</b>"


def explain(product: Product, clock: Clock) -> None:
    asked = ReadRequest("branch-finder", "nearest-branch", ME, ("postcode_area",), clock())
    answer = product.gate.read(asked)
    told = Explanation(
        service="branch-finder",
        outcome=OUTCOME,
        inputs=dict(answer.values),
        reasons=("three branches lie in this area",),
        model="distances",
        model_version="2.1",
        prompt_version="prompt-4",
        reading=Reference(answer.read_log, answer.entry),
    )
    PortalContext(product).explanations.attach(told, ME, clock())


def test_an_explained_decision_is_on_the_customers_page(
    customer: TestClient, product: Product, clock: Clock
) -> None:
    assert "Decisions made with your data" not in customer.get("/customer/reads").text
    explain(product, clock)
    page = customer.get("/customer/reads").text
    for words in (
        "called back &lt;b&gt;within a day&lt;/b&gt;",
        "three branches lie in this area",
        "Branch finder in the app",
        "<bdi>Postcode area</bdi>: <bdi>LX",
        "model distances 2.1 prompt-4",
    ):
        assert words in page


def test_nobody_else_reads_it_and_it_dies_with_the_key(
    customer: TestClient, product: Product, clock: Clock
) -> None:
    explain(product, clock)
    with browser(product, clock) as other:
        assert "within a day" not in sign_in(other, "c00008").get("/customer/reads").text
    product.ledger.erase(ME, clock())
    assert "within a day" not in customer.get("/customer/reads").text
