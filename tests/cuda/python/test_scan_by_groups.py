"""Filters, a query's own row and rows of bytes on a device are scanned by groups, like all else."""

from __future__ import annotations

import nearfield as nf
import numpy as np
import pytest
from cuda.python.test_topk import METRICS, on_host, same, values
from cuda.standin import DlpackArray, Standin


@pytest.fixture
def scans(standin: Standin, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no search be scored exactly from the start: scans by groups clear their lists."""
    topk = nf.topk

    def scanned(*arrays: DlpackArray, **options: object) -> nf.SearchResult:
        before = standin.calls("cuMemsetD8Async")
        found = topk(*arrays, **options)
        if isinstance(arrays[0], DlpackArray):
            assert standin.calls("cuMemsetD8Async") > before, "no scan by groups"
        return found

    monkeypatch.setattr(nf, "topk", scanned)


@pytest.mark.usefixtures("scans")
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(
    ("dtype", "asked"), [("int8", "int8"), ("int8", "float32"), ("uint8", "uint8")]
)
def test_rows_of_bytes(
    standin: Standin, rng: np.random.Generator, dtype: str, asked: str, metric: str
) -> None:
    rows = values(rng, (4400, 7), dtype)
    rows[4000:4040] = rows[:40]
    queries = values(rng, (3, 7), asked)
    queries[0] = rows[20]
    queries[1] = 0
    there = nf.topk(DlpackArray(standin, queries), DlpackArray(standin, rows), k=2, metric=metric)
    same(there, nf.topk(queries, rows, k=2, metric=metric), standin)


@pytest.mark.usefixtures("scans")
@pytest.mark.parametrize(
    ("metric", "dtype"), [("l2", "float32"), ("ip", "bfloat16"), ("cosine", "int8")]
)
@pytest.mark.parametrize("share", [0.6, 0.0005, 0])
def test_filters(
    standin: Standin, rng: np.random.Generator, dtype: str, share: float, metric: str
) -> None:
    """Also where fewer rows may answer than are asked for, or none."""
    rows, queries = values(rng, (4803, 4), dtype), values(rng, (3, 4), dtype)
    rows[3000:3040] = rows[:40]
    queries[0] = rows[20]
    mask = rng.random(4803) < share
    bits = {"bfloat16": dtype == "bfloat16"}
    arrays = DlpackArray(standin, queries, **bits), DlpackArray(standin, rows, **bits)
    wanted = nf.topk(on_host(queries, dtype), on_host(rows, dtype), k=3, metric=metric, filter=mask)
    for chosen in (mask, DlpackArray(standin, mask)):
        same(nf.topk(*arrays, k=3, metric=metric, filter=chosen), wanted, standin)


@pytest.mark.usefixtures("scans")
def test_few_queries_of_many_rows(standin: Standin, rng: np.random.Generator) -> None:
    """The best groups of three slices each are selected first; winners lie in all of them."""
    rows = values(rng, (3 * 32 * 512 + 40, 2), "float16")
    queries = values(rng, (2, 2), "float16")
    for at in (5, 16_300, 16_400, 32_900, len(rows) - 1):
        rows[at] = 9 * queries[0]
    rows[[77, 49_000]] = 9 * queries[1]
    arrays = DlpackArray(standin, queries), DlpackArray(standin, rows)
    found = nf.topk(*arrays, k=7, metric="ip")
    same(found, nf.topk(queries, rows, k=7, metric="ip"), standin)


@pytest.mark.slow
@pytest.mark.usefixtures("scans")
def test_exclude_self(standin: Standin, rng: np.random.Generator) -> None:
    """Every row is its own nearest, and has a double."""
    rows = np.concatenate([values(rng, (1060, 2), "float32")] * 2)
    there = DlpackArray(standin, rows)
    found = nf.topk(there, there, k=1, exclude_self=True)
    same(found, nf.topk(rows, rows, k=1, exclude_self=True), standin)


def test_an_index_of_bytes(standin: Standin, rng: np.random.Generator) -> None:
    """What a scan needs of the rows is kept, and filters change nothing of it."""
    index = nf.FlatIndex(8, "cosine", quantizer="int8")
    index.add(values(rng, (5003, 8), "int8"), ids=np.arange(5003)[::-1])
    there = index.to("cuda")
    q = rng.standard_normal((3, 8)).astype(np.float32)
    for chosen in (None, range(10, 3000), None):
        wanted = index.search(q, k=5, filter=chosen)
        np.testing.assert_array_equal(there.search(q, k=5, filter=chosen).ids, wanted.ids)
