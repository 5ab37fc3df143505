"""The same integers on Spark, for those who outgrow one machine."""

import shutil
from collections.abc import Iterator
from itertools import combinations
from typing import Any

import ibis
import numpy as np
import pytest

from synthetic.model import counts
from tests.synthetic.material import BANK, bank

pytestmark = pytest.mark.prove  # a JVM, twice


@pytest.fixture(scope="module")
def spark() -> Iterator[Any]:
    pytest.importorskip("pyspark")
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


@pytest.mark.filterwarnings("ignore")
def test_spark_chooses_the_same_rows_of_a_customer_as_duckdb(spark: Any) -> None:
    rows = bank().select(*BANK.columns).limit(5_000).mutate(who=ibis.row_number() % 700).cache()
    spark.createDataFrame(rows.to_pyarrow().to_pandas()).createOrReplaceTempView("visits")
    tables = ibis.pyspark.connect(spark).table("visits"), rows
    ours, theirs = (
        counts.count(counts.bounded(each, BANK, "who", 3), BANK, [("age", "job")])
        for each in tables
    )
    assert ours["age", "job"].sum() == 2_100
    assert np.array_equal(ours["age", "job"], theirs["age", "job"])
