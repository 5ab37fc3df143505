"""The same integers on Spark, for those who outgrow one machine."""

import shutil
from collections.abc import Iterator
from itertools import combinations
from typing import Any

import ibis
import numpy as np
import pytest

from synthetic import counts
from tests.synthetic.material import BANK, bank

pytest.importorskip("pyspark", reason="pyspark is optional: pip install 'pyspark<4.1'")


@pytest.fixture(scope="module")
def spark() -> Iterator[Any]:
    if shutil.which("java") is None:
        pytest.skip("Spark needs Java: install a JRE, version 17 or later")
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
    session = builder.config("spark.sql.shuffle.partitions", "2").getOrCreate()
    yield session
    session.stop()


@pytest.mark.filterwarnings("ignore")
def test_spark_counts_the_same_integers_as_duckdb(spark: Any) -> None:
    cliques = [*((name,) for name in BANK.columns), *combinations(BANK.columns, 2)]
    rows = bank().select(*BANK.columns)
    frame = spark.createDataFrame(rows.to_pyarrow().to_pandas())
    frame.createOrReplaceTempView("customers")
    ours = counts.count(ibis.pyspark.connect(spark).table("customers"), BANK, cliques)
    theirs = counts.count(rows, BANK, cliques)
    assert all(np.array_equal(ours[clique], theirs[clique]) for clique in cliques)
