"""Searches by thresholds of a sample, switched on: the CPU engine's ids."""

from __future__ import annotations

from typing import Any

import nearfield as nf
import numpy as np
import pytest
from cuda.python.test_topk import on_host, same, values
from cuda.standin import DlpackArray, Standin

STRATUM = 64
ROWS = 14_500  # 226 of them in the sample, 8 groups: enough for k = 1, whose rank is 2
MORE_ROWS = 24_700  # for k = 6, whose rank is 3
QUERIES = 66


def sample(n: int) -> np.ndarray:
    """Return the rows that cuda/kernels/survivors.cu takes."""
    x = np.arange(n // STRATUM, dtype=np.uint32)
    with np.errstate(over="ignore"):
        mixed = (x ^ x >> 16) * np.uint32(0x85EBCA6B)
        mixed = (mixed ^ mixed >> 13) * np.uint32(0xC2B2AE35)
    return x * STRATUM + (mixed ^ mixed >> 16) % STRATUM


@pytest.fixture(autouse=True)
def switched_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEARFIELD_CUDA_SCAN", "thresholds")


def search(
    standin: Standin, queries: np.ndarray, rows: np.ndarray, dtype: str, k: int, metric: str
) -> None:
    """Compare a search with the engine's; it goes by thresholds, by warpgroups where it can."""
    bits = {"bfloat16": dtype == "bfloat16"}
    arrays = DlpackArray(standin, queries, **bits), DlpackArray(standin, rows, **bits)
    clears, maps = standin.calls("cuMemsetD8Async"), standin.calls("cuTensorMapEncodeTiled")
    found = nf.topk(*arrays, k=k, metric=metric)
    assert standin.calls("cuMemsetD8Async") == clears + 3, "not a scan by thresholds"
    by_warpgroups = dtype != "float32" and rows.strides[0] % 16 == 0
    assert standin.calls("cuTensorMapEncodeTiled") == maps + 2 * by_warpgroups
    same(found, nf.topk(on_host(queries, dtype), on_host(rows, dtype), k=k, metric=metric), standin)


@pytest.mark.parametrize(
    ("dtype", "metric", "dim", "k"),
    [
        ("float32", "cosine", 13, 1),
        ("float16", "l2", 13, 1),
        ("float16", "cosine", 72, 1),
        ("bfloat16", "ip", 8, 6),
        ("bfloat16", "l2", 16, 1),
        ("int8", "l2", 16, 1),
        ("int8", "cosine", 7, 1),
        ("uint8", "ip", 9, 1),
        ("uint8", "l2", 32, 1),
    ],
)
def test_big_batches(
    standin: Standin, rng: np.random.Generator, dtype: str, metric: str, dim: int, k: int
) -> None:
    n = ROWS if k == 1 else MORE_ROWS
    rows, queries = values(rng, (n, dim), dtype), values(rng, (QUERIES, dim), dtype)
    rows[2000:2040] = rows[:40]  # ties
    rows[9] = 0
    queries[:9] = rows[:9]
    search(standin, queries, rows, dtype, k, metric)


def test_what_is_not_proven_is_scored_exactly(standin: Standin, rng: np.random.Generator) -> None:
    """To one query 5,000 rows are alike; another's threshold is the third row of all."""
    rows, queries = values(rng, (MORE_ROWS, 9), "float16"), values(rng, (QUERIES, 9), "float16")
    rows[:, :2], queries[:, :2] = 0, 0
    queries[[3, 5]] = 0
    queries[3, 0], queries[5, 1] = 1, 1
    rows[:5000, 0] = 7
    rows[sample(MORE_ROWS)[[2, 100, 300]], 1] = 9
    search(standin, queries, rows, "float16", 6, "ip")


def test_what_does_not_suit_is_scanned_by_groups(
    standin: Standin, rng: np.random.Generator
) -> None:
    rows, queries = values(rng, (8000, 2), "float16"), values(rng, (QUERIES, 2), "float16")
    arrays = DlpackArray(standin, queries), DlpackArray(standin, rows)
    clears = standin.calls("cuMemsetD8Async")
    nf.topk(*arrays, k=6)
    assert standin.calls("cuMemsetD8Async") == clears + 2


def test_an_index_on_a_device(standin: Standin, rng: np.random.Generator) -> None:
    index = nf.FlatIndex(7, "ip", quantizer="float16")
    index.add(rng.standard_normal((ROWS, 7)), ids=np.arange(ROWS)[::-1] + 5)
    queries = values(rng, (QUERIES, 7), "float32")
    there = index.to("cuda")
    clears = standin.calls("cuMemsetD8Async")
    found = there.search(DlpackArray(standin, queries), k=1)
    assert standin.calls("cuMemsetD8Async") == clears + 2, "its constants are kept"
    same(found, index.search(queries, k=1), standin)


def test_queries_between_whole_numbers(standin: Standin, rng: np.random.Generator) -> None:
    """Rounding them to bytes loses something, which margins have to make up for."""
    rows = values(rng, (ROWS, 8), "int8")
    queries = rng.standard_normal((QUERIES, 8)).astype(np.float32)
    search(standin, queries, rows, "int8", 1, "cosine")


@pytest.mark.parametrize(("quantizer", "metric"), [("sq8", "l2"), ("pq4x8", "cosine")])
def test_an_index_of_codes(
    standin: Standin, rng: np.random.Generator, quantizer: str, metric: str
) -> None:
    """Its decoded rows are searched by thresholds."""
    index = nf.FlatIndex(8, metric, quantizer=quantizer)
    index.train(rng.standard_normal((600, 8)).astype(np.float32))
    index.add(rng.standard_normal((ROWS, 8)).astype(np.float32))
    queries = values(rng, (QUERIES, 8), "float32")
    there = index.to("cuda")
    clears = standin.calls("cuMemsetD8Async")
    found = there.search(DlpackArray(standin, queries), k=1)
    assert standin.calls("cuMemsetD8Async") == clears + 3, "not a scan by thresholds"
    same(found, index.search(queries, k=1), standin)


def test_a_driver_that_refuses_a_matrix(
    standin: Standin, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, queries = values(rng, (ROWS, 8), "float16"), values(rng, (QUERIES, 8), "float16")
    arrays = DlpackArray(standin, queries), DlpackArray(standin, rows)
    before = standin.live_blocks
    monkeypatch.setenv("STANDIN_FAILS", "cuTensorMapEncodeTiled=1")
    with pytest.raises(nf.DeviceError, match="describe a matrix on cuda:0: CUDA_ERROR_INVALID"):
        nf.topk(*arrays, k=1)
    monkeypatch.delenv("STANDIN_FAILS")
    standin.finish()
    assert standin.live_blocks == before


def test_another_word_is_an_error(
    standin: Standin, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEARFIELD_CUDA_SCAN", "fast")
    rows: Any = DlpackArray(standin, values(rng, (4, 2), "float32"))
    with pytest.raises(ValueError, match="got 'fast', expected 'groups', 'thresholds' or 'bytes'"):
        nf.topk(rows, rows, k=1)


def test_queries_that_are_mapped_first(standin: Standin, rng: np.random.Generator) -> None:
    """Mapped and prepared in one launch, and scanned by thresholds all the same."""
    rows, queries = values(rng, (ROWS, 8), "float16"), values(rng, (QUERIES, 6), "float16")
    adapter = nf.transforms.Affine(rng.standard_normal((8, 6)).astype(np.float32))
    arrays = DlpackArray(standin, queries), DlpackArray(standin, rows)
    clears = standin.calls("cuMemsetD8Async")
    found = nf.topk(*arrays, k=1, metric="ip", transform=adapter)
    assert standin.calls("cuMemsetD8Async") == clears + 3, "not a scan by thresholds"
    same(found, nf.topk(queries, rows, k=1, metric="ip", transform=adapter), standin)
