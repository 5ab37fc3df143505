"""M14: a customer's veto over the training of AI models, and the manifest that shows it."""

import json

from tests.features.catalogue import feature
from tests.features.conftest import Bank
from tests.features.served import Site, done, sovereign

SCENE = "ai-training"


def trained(site: Site) -> list[str]:
    """The customers whose rows the model laboratory is given."""
    answer = site.ask(
        "model-lab", "/v1/rows", {"scene": SCENE, "fields": ["age"]}, "application/x-ndjson"
    )
    assert answer.status_code == 200
    return [json.loads(line)["customer"] for line in answer.text.splitlines()]


@feature("M14")
def test_a_veto_ends_the_training_and_names_the_models_it_reaches(site: Site, bank: Bank) -> None:
    manifest = bank.home / "manifests" / bank.printed["manifest"]
    assert "no veto" in done("manifest", "verify", manifest, "--data-dir", site.home)
    subject = trained(site)[0]
    vetoing = site.customer(subject)
    vetoing.switch(SCENE, "withdraw")
    veto = vetoing.receipts()[0]
    assert subject not in trained(site)
    affected = sovereign("manifest", "affected", "--data-dir", site.home, "--json")
    assert affected.returncode == 1, affected.stderr
    models = {each["model"]: each for each in json.loads(affected.stdout)}
    model = models["scoring-1"]
    assert veto in [by for _, by in model["vetoed"]]
    assert subject not in manifest.read_text("utf-8")
