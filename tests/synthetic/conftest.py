import pytest

# Ibis 12 still calls what DuckDB 1.5 renamed; nothing that we could call otherwise.
IBIS_ON_DUCKDB = "ignore:fetch_arrow_table:DeprecationWarning"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/synthetic" in item.path.as_posix():
            item.add_marker(pytest.mark.filterwarnings(IBIS_ON_DUCKDB))
