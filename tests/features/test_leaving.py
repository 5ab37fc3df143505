"""M15: a customer takes everything along, and it verifies without the company."""

import io
import json
import re
import zipfile
from pathlib import Path

from tests.features.catalogue import feature
from tests.features.served import Person, Site, done, wait_for

LINK = re.compile(r'href="(/archive/[^"]+\.zip)"')
TEXT = "We will refund the fee of 12.40 for the card ending 1881."


def archive(customer: Person) -> zipfile.ZipFile:
    """The archive that the customer's page makes and offers."""
    customer.press(customer.page("/customer/leave"), "/customer/leave/archive")
    link = wait_for(lambda: LINK.search(customer.page("/customer/leave").html), "archive")
    return zipfile.ZipFile(io.BytesIO(customer.client.get(link[1]).content))


@feature("M15")
def test_the_archive_holds_agreement_reads_row_and_messages_and_verifies(
    site: Site, customer: Person, tmp_path: Path
) -> None:
    customer.switch("recommendation", "allow")
    site.read("recommender", "recommendation", customer.subject, "age")
    proposal = {"subject": customer.subject, "text": TEXT}
    assert site.ask("branch-finder", "/v1/proposals", proposal).json()["waits"] is True
    with archive(customer) as taken:
        names = taken.namelist()
        assert {"index.jsonld", "agreement.json", "history.csv", "reads.json"} <= {*names}
        row = json.loads(taken.read("data/customer.json"))
        assert {"name", "age", "email"} <= row.keys()
        messages = [taken.read(each).decode() for each in names if each.endswith(".txt")]
        assert TEXT in messages
        taken.extractall(tmp_path)
    (receipt,) = (tmp_path / "receipts").glob("[0-9]*.tlog-proof")
    printed = done("verify", receipt, "--policy", tmp_path / "trust" / "consent.policy")
    assert printed.startswith("VERIFIED")
