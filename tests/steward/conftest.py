from pathlib import Path

import pytest

from tests.steward.homes import in_postgres


@pytest.fixture(params=["sqlite", "postgresql"])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """An empty data directory of either kind."""
    if request.param == "postgresql":
        in_postgres(tmp_path, request.getfixturevalue("address"))
    return tmp_path
