"""nf.topk on a device against nf.topk on the CPU: the same ids, scores to a rounding."""

from __future__ import annotations

from typing import Any

import nearfield as nf
import numpy as np
import pytest
from cuda.standin import DlpackArray, InterfaceArray, Standin, contents

METRICS = ("l2", "ip", "cosine")
DTYPES = ("float32", "float16", "bfloat16", "int8", "uint8")


def values(rng: np.random.Generator, shape: tuple[int, int], dtype: str) -> np.ndarray:
    """Return numbers of a type; bfloat16 as bits."""
    if dtype in ("int8", "uint8"):
        info = np.iinfo(dtype)
        return rng.integers(info.min, info.max + 1, shape).astype(dtype)
    plain = rng.standard_normal(shape).astype(np.float32)
    if dtype == "bfloat16":
        return (plain.view(np.uint32) >> 16).astype(np.uint16)
    return plain.astype(dtype)


def on_host(array: np.ndarray, dtype: str) -> np.ndarray:
    """Return the same numbers as the CPU engine takes them."""
    if dtype != "bfloat16":
        return array
    return (array.astype(np.uint32) << 16).view(np.float32)


def same(there: nf.SearchResult, here: nf.SearchResult, standin: Standin) -> None:
    """Compare results."""
    ids, scores, counts = (contents(part, standin) for part in there)
    np.testing.assert_array_equal(ids, here.ids)
    np.testing.assert_array_equal(counts, here.counts)
    assert scores.dtype == np.float32
    assert ids.dtype == counts.dtype == np.int64
    np.testing.assert_allclose(scores, here.scores, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_type_and_metric(
    standin: Standin, rng: np.random.Generator, dtype: str, metric: str
) -> None:
    rows = values(rng, (211, 33), dtype)
    rows[100:140] = rows[:40]  # ties
    rows[7] = 0
    queries = values(rng, (9, 33), dtype)
    queries[3] = rows[120]
    bits = {"bfloat16": dtype == "bfloat16"}
    there = nf.topk(
        DlpackArray(standin, queries, **bits),
        DlpackArray(standin, rows, **bits),
        k=21,
        metric=metric,
    )
    here = nf.topk(on_host(queries, dtype), on_host(rows, dtype), k=21, metric=metric)
    same(there, here, standin)


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (1, 5, 3, 9), (17, 100, 64, 100), (3, 0, 4, 2)])
def test_shapes(
    standin: Standin, rng: np.random.Generator, shape: tuple[int, int, int, int]
) -> None:
    n_queries, n, dim, k = shape
    queries, rows = values(rng, (n_queries, dim), "float32"), values(rng, (n, dim), "float32")
    there = nf.topk(DlpackArray(standin, queries), DlpackArray(standin, rows), k=k, metric="ip")
    same(there, nf.topk(queries, rows, k=k, metric="ip"), standin)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(("dtype", "count"), [("float32", 3), ("float16", 20), ("bfloat16", 35)])
def test_many_rows_are_scanned_by_groups(
    standin: Standin, rng: np.random.Generator, dtype: str, count: int, metric: str
) -> None:
    rows, queries = values(rng, (2603, 19), dtype), values(rng, (count, 19), dtype)
    rows[2000:2040] = rows[:40]
    rows[9] = 0
    queries[0] = rows[20]
    bits = {"bfloat16": dtype == "bfloat16"}
    arrays = DlpackArray(standin, queries, **bits), DlpackArray(standin, rows, **bits)
    scans = standin.calls("cuMemsetD8Async")
    there = nf.topk(*arrays, k=6, metric=metric)
    assert standin.calls("cuMemsetD8Async") > scans, "no scan by groups"
    here = nf.topk(on_host(queries, dtype), on_host(rows, dtype), k=6, metric=metric)
    same(there, here, standin)


@pytest.mark.parametrize("kind", ["all rows alike", "a row that is not finite"])
def test_what_groups_leave_open_is_scored_exactly(
    standin: Standin, rng: np.random.Generator, kind: str
) -> None:
    rows, queries = values(rng, (2603, 7), "float32"), values(rng, (10, 7), "float32")
    if kind == "all rows alike":
        rows[:] = rows[0]
        queries[4] = 0
    there = rows.copy()
    if kind != "all rows alike":
        there[5, 3], there[2000, 6] = np.nan, np.inf
        rows[[5, 2000]] = 1e6  # far from everything
    found = nf.topk(DlpackArray(standin, queries), DlpackArray(standin, there), k=6)
    same(found, nf.topk(queries, rows, k=6), standin)


def test_no_queries(standin: Standin) -> None:
    rows = DlpackArray(standin, np.ones((4, 2), np.float32))
    found = nf.topk(DlpackArray(standin, np.empty((0, 2), np.float32)), rows, k=3)
    assert found.ids.shape == (0, 3)
    assert found.counts.shape == (0,)


def test_many_rows_are_shared_by_blocks(standin: Standin, rng: np.random.Generator) -> None:
    rows, queries = values(rng, (9000, 2), "int8"), values(rng, (2, 2), "int8")
    there = nf.topk(DlpackArray(standin, queries), DlpackArray(standin, rows), k=70)
    same(there, nf.topk(queries, rows, k=70), standin)


def test_large_k_needs_memory_beyond_a_block(standin: Standin, rng: np.random.Generator) -> None:
    rows, queries = values(rng, (3000, 3), "float32"), values(rng, (2, 3), "float32")
    there = nf.topk(DlpackArray(standin, queries), DlpackArray(standin, rows), k=2900)
    same(there, nf.topk(queries, rows, k=2900), standin)


def test_one_vector_has_no_query_axis(standin: Standin, rng: np.random.Generator) -> None:
    rows, query = values(rng, (30, 8), "float32"), values(rng, (1, 8), "float32")[0]
    there = nf.topk(DlpackArray(standin, query), DlpackArray(standin, rows), k=4)
    assert there.ids.shape == (4,)
    same(there, nf.topk(query, rows, k=4), standin)


def test_a_batch_answers_as_its_queries_alone(standin: Standin, rng: np.random.Generator) -> None:
    rows, queries = values(rng, (90, 16), "float32"), values(rng, (19, 16), "float32")
    corpus = DlpackArray(standin, rows)
    batch = nf.topk(DlpackArray(standin, queries), corpus, k=7, metric="cosine")
    scores = contents(batch.scores, standin)
    for i, query in enumerate(queries):
        alone = nf.topk(DlpackArray(standin, query), corpus, k=7, metric="cosine")
        np.testing.assert_array_equal(contents(alone.scores, standin), scores[i])


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_schedules_change_nothing(
    standin: Standin, rng: np.random.Generator, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STANDIN_SEED", str(1000 * seed))
    rows, queries = values(rng, (150, 12), "uint8"), values(rng, (10, 12), "uint8")
    there = nf.topk(DlpackArray(standin, queries), DlpackArray(standin, rows), k=20)
    same(there, nf.topk(queries, rows, k=20), standin)


def test_what_is_not_finite_never_answers(standin: Standin) -> None:
    rows = np.float32([[1, 0], [np.nan, 0], [2, 0], [np.inf, 0]])
    queries = np.float32([[1, 0], [np.nan, 1]])
    found = nf.topk(DlpackArray(standin, queries), DlpackArray(standin, rows), k=4, metric="ip")
    missing = nf.MISSING
    assert contents(found.ids, standin).tolist() == [[2, 0, missing, missing], [missing] * 4]
    assert contents(found.counts, standin).tolist() == [2, 0]
    assert np.isnan(contents(found.scores, standin)[1]).all()


@pytest.mark.parametrize("kind", ["mask", "ids", "range", "filter", "device mask"])
def test_filters(standin: Standin, rng: np.random.Generator, kind: str) -> None:
    rows, queries = values(rng, (80, 5), "float32"), values(rng, (4, 5), "float32")
    mask = rng.random(80) < 0.2
    chosen: Any = {
        "mask": mask,
        "ids": np.flatnonzero(mask),
        "range": range(10, 30),
        "filter": nf.Filter(mask),
        "device mask": mask,
    }[kind]
    there = DlpackArray(standin, mask) if kind == "device mask" else chosen
    found = nf.topk(DlpackArray(standin, queries), DlpackArray(standin, rows), k=25, filter=there)
    same(found, nf.topk(queries, rows, k=25, filter=chosen), standin)


def test_exclude_self(standin: Standin, rng: np.random.Generator) -> None:
    rows = values(rng, (20, 5), "float32")
    there = DlpackArray(standin, rows)
    found = nf.topk(there, there, k=3, exclude_self=True)
    same(found, nf.topk(rows, rows, k=3, exclude_self=True), standin)


def test_rows_may_lie_apart(standin: Standin, rng: np.random.Generator) -> None:
    rows, queries = values(rng, (60, 20), "float32")[::2, 3:11], values(rng, (6, 8), "float32")
    expected = nf.topk(queries, rows, k=5)
    for kind in (DlpackArray, InterfaceArray):
        same(
            nf.topk(kind(standin, queries[::2]), kind(standin, rows), k=5),
            nf.topk(queries[::2], rows, k=5),
            standin,
        )
    same(nf.topk(DlpackArray(standin, queries), DlpackArray(standin, rows), k=5), expected, standin)


def test_the_second_device(standin: Standin, rng: np.random.Generator) -> None:
    rows, queries = values(rng, (30, 8), "float32"), values(rng, (2, 8), "float32")
    found = nf.topk(DlpackArray(standin, queries, device=1), DlpackArray(standin, rows, device=1))
    assert found.ids.device == "cuda:1"
    same(found, nf.topk(queries, rows), standin)


def test_nothing_is_left_behind(standin: Standin, rng: np.random.Generator) -> None:
    rows, queries = values(rng, (30, 8), "float16"), values(rng, (2, 8), "float16")
    arrays = DlpackArray(standin, queries), DlpackArray(standin, rows)
    nf.topk(*arrays)
    standin.finish()
    before = standin.live_blocks
    for _ in range(3):
        nf.topk(*arrays)
    standin.finish()
    assert standin.live_blocks == before
