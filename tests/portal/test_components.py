"""specs/portal.md, 9.4: the gallery is the demonstration's, and made of the pages' own parts."""

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from portal.gallery import COMPONENTS
from tests.portal.conftest import Clock, browser, copy


@pytest.mark.parametrize("name", COMPONENTS)
def test_every_component_is_shown_by_itself(name: str, visitor: TestClient) -> None:
    assert f'href="/components/{name}"' in visitor.get("/components").text
    assert 'id="component"' in visitor.get(f"/components/{name}").text


def test_a_card_is_shown_in_every_standing(visitor: TestClient) -> None:
    shown = visitor.get("/components/card").text
    for standing in ("allowed", "partly", "refused", "expired", "locked"):
        assert f'class="card {standing}"' in shown


def test_what_is_no_component_is_not_found(visitor: TestClient) -> None:
    assert visitor.get("/components/nothing").status_code == 404


def test_outside_the_demonstration_there_is_no_gallery(
    seeded: Path, tmp_path: Path, clock: Clock
) -> None:
    outside = browser(copy(seeded, tmp_path / "outside", demo=False), clock)
    assert outside.get("/components").status_code == 404
    assert outside.get("/components/card").status_code == 404
