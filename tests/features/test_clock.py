"""A clock that is not believed opens no case, revives no grant and answers nothing personal.

The clock of the machine is real. What is changed is the time at which the data directory was last
used, so that the clock seems to be 800 days ahead, or two days behind.
"""

import json
import shutil
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path

import httpx
import pytest

from portal.operations.job_results import FILE
from tests.features.served import Site, done, sovereign, views, wait_for
from tests.features.test_readiness import asked, failing

READ = ("sales-desk", "lead-scoring")


def last_used(home: Path, gap: timedelta) -> None:
    """Let the record of the jobs say that they ran `gap` before now."""
    record = json.loads((home / FILE).read_bytes())
    then = datetime.now(UTC) - gap
    record["written"] = then.strftime("%Y-%m-%dT%H:%M:%SZ")
    (home / FILE).write_text(json.dumps(record))


def cases(home: Path) -> str:
    return done("steward", "cases", "--data-dir", home, "--json")


def _ready_for_pages_alone(site: Site) -> None:
    """17.1."""
    assert failing(site.address) == {"clock"}
    assert asked(site.address, "/readyz/pages")[0] == HTTPStatus.OK
    assert "not ready: clock: the clock of this machine says" in site.log.read_text()


@pytest.mark.parametrize("gap", [timedelta(days=800), timedelta(days=-2)], ids=["ahead", "behind"])
def test_a_clock_that_is_not_believed_until_it_is_confirmed(
    unserved: Path, tmp_path: Path, gap: timedelta
) -> None:
    home = shutil.copytree(unserved, tmp_path / "data")
    customer = "c00150"
    with Site(home, tmp_path / "log").serving() as site:
        site.customer(customer).switch("lead-scoring", "allow")
        site.customer(customer).switch("recommendation", "allow")
        assert views(site.read(*READ, customer, "age")) == {"age": "personal"}
    before = cases(home)
    last_used(home, gap)
    assert sovereign("clock", "--data-dir", home).returncode == 1
    with Site(home, tmp_path / "log").serving() as site:
        question = {"scene": READ[1], "customer": customer, "fields": ["age"]}
        answer = site.ask(READ[0], "/v1/read", question)
        assert (answer.status_code, answer.json()["reason"]) == (403, "suspended")
        _ready_for_pages_alone(site)
        wait_for(
            lambda: httpx.get(f"{site.address}/healthz").json()["jobs"]["clock"]["failures"],
            "failing job",
        )
        assert "last used" in sovereign("jobs", "--data-dir", home).stdout
        assert cases(home) == before
        receipt = site.customer(customer)
        receipt.switch("recommendation", "withdraw")  # which is taken at any time
        doubtful, sure, *_ = receipt.receipts()
        policy = ("--policy", home / "consent.policy")
        mark = "(uncertain: the log's clock was in doubt)"
        assert mark in done("verify", receipt.receipt(doubtful, tmp_path), *policy)
        assert mark not in done("verify", receipt.receipt(sure, tmp_path), *policy)
        assert '"expiry"' not in cases(home)
        done("clock", "--confirm", "--data-dir", home)
        wait_for(
            lambda: site.ask(READ[0], "/v1/read", question).status_code == 200,
            "answer after the confirmation",
        )
        assert views(site.read(*READ, customer, "age")) == {"age": "personal"}
        assert views(site.read("recommender", "recommendation", customer, "age")) != {
            "age": "personal"
        }
