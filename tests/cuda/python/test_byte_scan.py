"""Float rows of an index on a device, scanned by bytes beside them: the CPU engine's ids."""

from __future__ import annotations

from typing import Any

import nearfield as nf
import numpy as np
import pytest
from cuda.python.test_topk import same
from cuda.standin import DlpackArray, Standin

ROWS = 4803  # 151 groups: more than lists of k = 5 take
K = 5


@pytest.fixture(autouse=True)
def switched_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEARFIELD_CUDA_SCAN", "bytes")


def filled(
    rng: np.random.Generator, metric: str, dtype: str = "float32", dim: int = 9, **change: Any
) -> tuple[nf.FlatIndex, np.ndarray]:
    """Return an index with ties and a zero row, labels in no order, and some queries."""
    rows = rng.standard_normal((ROWS, dim)).astype(np.float32)
    for at, factor in change.items():
        rows[:, int(at[1:])] *= factor
    rows[3000:3040] = rows[:40]
    rows[77] = 0
    index = nf.FlatIndex(dim, metric, quantizer=dtype)
    index.add(rows, ids=rng.permutation(ROWS) + 5)
    queries = rng.standard_normal((4, dim)).astype(np.float32)
    queries[0] = rows[20]
    queries[1] = 0
    return index, queries


def scanned(standin: Standin, there: nf.FlatIndex, queries: np.ndarray, **options: Any) -> Any:
    """Search by bytes: lists are cleared twice, and a margin of none once."""
    before = standin.calls("cuMemsetD8Async")
    found = there.search(DlpackArray(standin, queries), **options)
    assert standin.calls("cuMemsetD8Async") == before + 3, "not a scan by bytes"
    return found


@pytest.mark.parametrize(
    ("dtype", "metric"), [("float32", "cosine"), ("float16", "l2"), ("bfloat16", "ip")]
)
def test_it_answers_as_on_the_cpu(
    standin: Standin, rng: np.random.Generator, dtype: str, metric: str
) -> None:
    index, queries = filled(rng, metric, dtype)
    there = index.to("cuda")
    same(scanned(standin, there, queries, k=K), index.search(queries, k=K), standin)


@pytest.mark.parametrize("share", [0.6, 0.0005])
def test_filters(standin: Standin, rng: np.random.Generator, share: float) -> None:
    """Also where fewer rows may answer than are asked for."""
    index, queries = filled(rng, "l2")
    there = index.to("cuda")
    mask = rng.random(ROWS) < share
    found = scanned(standin, there, queries, k=K, filter=mask)
    same(found, index.search(queries, k=K, filter=mask), standin)


@pytest.mark.parametrize("metric", ["l2", "cosine"])
def test_rows_and_queries_out_of_the_ordinary(
    standin: Standin, rng: np.random.Generator, metric: str
) -> None:
    """An outlying dimension, a row 1e18 times as long, tiny rows; queries long and short."""
    index, queries = filled(rng, metric, d3=1e4)
    odd = rng.standard_normal((3, 9)).astype(np.float32)
    index.add(odd * np.array([[1e18], [1e-38], [1e-44]], np.float32), ids=[10**6, 3, 2])
    queries[2] *= np.float32(1e12)
    queries[3] *= np.float32(1e-12)
    there = index.to("cuda")
    same(scanned(standin, there, queries, k=K), index.search(queries, k=K), standin)


def test_what_is_not_proven_is_scored_exactly(standin: Standin, rng: np.random.Generator) -> None:
    """More rows than a list takes are alike, in every group."""
    index = nf.FlatIndex(8, "ip")
    rows = rng.integers(0, 2, (ROWS, 8)).astype(np.float32)
    rows[::16] = 1
    index.add(rows)
    queries = np.ones((2, 8), np.float32)
    there = index.to("cuda")
    same(scanned(standin, there, queries, k=K), index.search(queries, k=K), standin)


def test_what_is_scanned_otherwise(standin: Standin, rng: np.random.Generator) -> None:
    """Rows of bytes, few rows, arrays that are no index: by groups or exactly."""
    rows = rng.integers(-99, 99, (ROWS, 3)).astype(np.int8)
    index = nf.FlatIndex(3, "l2", quantizer="int8")
    index.add(rows)
    queries = rows[:3].astype(np.float32)
    before = standin.calls("cuMemsetD8Async")
    same(
        index.to("cuda").search(DlpackArray(standin, queries), k=K),
        index.search(queries, k=K),
        standin,
    )
    assert standin.calls("cuMemsetD8Async") == before + 2, "constants and lists"
    few = nf.FlatIndex(3, "l2")
    few.add(rows[:50])
    same(
        few.to("cuda").search(DlpackArray(standin, queries), k=K), few.search(queries, k=K), standin
    )
    arrays = DlpackArray(standin, queries), DlpackArray(standin, rows.astype(np.float32))
    same(nf.topk(*arrays, k=K), nf.topk(queries, rows.astype(np.float32), k=K), standin)


def test_bytes_are_made_when_rows_are_copied(
    standin: Standin, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A byte an element, 16 a row; made anew when rows are added; not there: by groups."""
    index, queries = filled(rng, "cosine")
    there = index.to("cuda")
    keep, _ = there._resident._copy.codes
    assert ROWS * (16 + 16) <= keep.nbytes <= ROWS * (16 + 16) + 6 * 256
    there.add(queries[:1] * 2, ids=[10**6])
    there.search(queries[:1], k=K)
    same(scanned(standin, there, queries, k=K), there.to("cpu").search(queries, k=K), standin)
    monkeypatch.delenv("NEARFIELD_CUDA_SCAN")
    bare = index.to("cuda")
    assert bare._resident._copy.codes is None
    monkeypatch.setenv("NEARFIELD_CUDA_SCAN", "bytes")
    same(bare.search(DlpackArray(standin, queries), k=K), index.search(queries, k=K), standin)
