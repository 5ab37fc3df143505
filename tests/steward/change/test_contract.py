"""What a scene's contract says of changes (S10)."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from gate.contracts.odcs import ContractError
from gate.contracts.scene import ContractChange
from gate.contracts.scene_file import load_scene
from gate.contracts.source import load_source
from gate.contracts.specs import specs_folder
from tests.bank import SCENES_FOLDER, SOURCE_CONTRACT

SPECS = specs_folder()
SOURCE = load_source(SOURCE_CONTRACT)
SCENE = SCENES_FOLDER / "segmentation.odcs.yaml"


def declared(folder: Path, change: Any) -> ContractChange:
    """What is read from the shipped contract with this `change` added."""
    contract = yaml.safe_load(SCENE.read_text(encoding="utf-8"))
    contract["customProperties"].append({"property": "change", "value": change})
    path = folder / SCENE.name
    path.write_text(yaml.safe_dump(contract, allow_unicode=True), encoding="utf-8")
    return load_scene(path, SOURCE).change


def test_a_contract_that_says_nothing_has_the_usual_rules() -> None:
    usual = load_scene(SCENE, SOURCE).change
    assert (usual.window, usual.review) == (timedelta(hours=1), timedelta(days=3))
    assert usual.responsible == ("account-manager", "data-protection-officer")


def test_a_contract_sets_what_differs(tmp_path: Path) -> None:
    found = declared(tmp_path, {"window_minutes": 5, "review_days": 7, "responsible": ["dpo"]})
    days = timedelta(days=1)
    assert found == ContractChange(timedelta(minutes=5), 7 * days, days, ("dpo",))


BAD: dict[str, Any] = {
    "a rule that there is none of": {"windows": 5},
    "a window of nothing": {"window_minutes": 0},
    "a review in half a day": {"review_days": 0.5},
    "nobody responsible": {"responsible": []},
    "a person's name": {"responsible": ["Ada Lovelace"]},
    "a number": 7,
}


@pytest.mark.parametrize("why", BAD)
def test_other_rules_are_refused(why: str, tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r"segmentation\.odcs\.yaml"):
        declared(tmp_path, BAD[why])
