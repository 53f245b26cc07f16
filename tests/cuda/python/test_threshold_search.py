"""Searches by thresholds of a sample, switched on: the CPU engine's ids."""

from __future__ import annotations

from typing import Any

import nearfield as nf
import numpy as np
import pytest
from cuda.python.test_topk import on_host, same, values
from cuda.standin import DlpackArray, Standin

STRATUM = 64
ROWS = 24_700  # 385 of them in the sample, 13 groups: enough for k = 6, whose rank is 3
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
    """Compare a search with the engine's; it goes by thresholds."""
    bits = {"bfloat16": dtype == "bfloat16"}
    arrays = DlpackArray(standin, queries, **bits), DlpackArray(standin, rows, **bits)
    clears = standin.calls("cuMemsetD8Async")
    found = nf.topk(*arrays, k=k, metric=metric)
    assert standin.calls("cuMemsetD8Async") == clears + 3, "not a scan by thresholds"
    same(found, nf.topk(on_host(queries, dtype), on_host(rows, dtype), k=k, metric=metric), standin)


@pytest.mark.parametrize(
    ("dtype", "metric"),
    [("float32", "cosine"), ("float16", "l2"), ("bfloat16", "ip")],
)
def test_big_batches(standin: Standin, rng: np.random.Generator, dtype: str, metric: str) -> None:
    rows, queries = values(rng, (ROWS, 13), dtype), values(rng, (QUERIES, 13), dtype)
    rows[2000:2040] = rows[:40]  # ties
    rows[9] = 0
    queries[:9] = rows[:9]
    search(standin, queries, rows, dtype, 6, metric)


def test_a_list_that_overflows_is_scored_exactly(
    standin: Standin, rng: np.random.Generator
) -> None:
    rows, queries = values(rng, (ROWS, 9), "float32"), values(rng, (QUERIES, 9), "float32")
    rows[:, 0], queries[:, 0] = 0, 0
    rows[:5000, 0], queries[3] = 7, 0
    queries[3, 0] = 1  # 5,000 rows are alike to this query and to no other
    search(standin, queries, rows, "float32", 6, "ip")


def test_a_threshold_that_is_too_high_is_noticed(
    standin: Standin, rng: np.random.Generator
) -> None:
    """The three best of a query are all in the sample, so the third of these is its threshold."""
    rows, queries = values(rng, (ROWS, 9), "float16"), values(rng, (QUERIES, 9), "float16")
    rows[:, 0], queries[:, 0] = 0, 0
    rows[sample(ROWS)[[2, 100, 300]], 0] = 9
    queries[5] = 0
    queries[5, 0] = 1
    search(standin, queries, rows, "float16", 6, "ip")


@pytest.mark.parametrize(
    ("count", "n", "k"), [(64, 16_384, 2), (QUERIES, 8000, 6), (QUERIES, 16_384, 20)]
)
def test_what_does_not_suit_is_scanned_by_groups(
    standin: Standin, rng: np.random.Generator, count: int, n: int, k: int
) -> None:
    rows, queries = values(rng, (n, 2), "float16"), values(rng, (count, 2), "float16")
    arrays = DlpackArray(standin, queries), DlpackArray(standin, rows)
    clears = standin.calls("cuMemsetD8Async")
    nf.topk(*arrays, k=k)
    assert standin.calls("cuMemsetD8Async") == clears + 2
    standin.finish()


def test_an_index_on_a_device(standin: Standin, rng: np.random.Generator) -> None:
    index = nf.FlatIndex(7, "ip", quantizer="float16")
    index.add(rng.standard_normal((ROWS, 7)), ids=np.arange(ROWS)[::-1] + 5)
    queries = values(rng, (QUERIES, 7), "float32")
    there = index.to("cuda")
    clears = standin.calls("cuMemsetD8Async")
    found = there.search(DlpackArray(standin, queries), k=3)
    assert standin.calls("cuMemsetD8Async") == clears + 2, "its constants are kept"
    same(found, index.search(queries, k=3), standin)


def test_another_word_is_an_error(
    standin: Standin, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEARFIELD_CUDA_SCAN", "fast")
    rows: Any = DlpackArray(standin, values(rng, (4, 2), "float32"))
    with pytest.raises(ValueError, match="got 'fast', expected 'groups' or 'thresholds'"):
        nf.topk(rows, rows, k=1)
