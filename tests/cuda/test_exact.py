"""Scores in float64 on the shim: masks, own rows, what is not finite, lists that were cut."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from cuda.scan_pipeline import METRICS, MISSING
from cuda.shim_library import GuardedArray, Shim, ShimCompiler, is_noticed, noisy
from cuda.test_scan import keys_of
from hypothesis import given, settings
from hypothesis import strategies as st

STORED = {
    "f32": np.float32,
    "f16": np.float16,
    "bf16": ml_dtypes.bfloat16,
    "i8": np.int8,
    "u8": np.uint8,
}


def sample(rng: np.random.Generator, stored: str, count: int, dim: int) -> np.ndarray:
    """Return rows, among them one of zeros and, of floats, one that is not finite."""
    rows = (rng.standard_normal((count, dim)) * 9).clip(-100, 100)
    rows[rng.integers(count)] = 0
    if stored in ("i8", "u8"):
        return rows.astype(np.int8).view(STORED[stored])
    rows[rng.integers(count), -1] = rng.choice([np.nan, np.inf])
    return rows.astype(STORED[stored])


def check(shim: Shim, seed: int, stored: str) -> None:
    rng = np.random.default_rng(seed)
    count, dim, asked = (int(rng.integers(1, most)) for most in (70, 40, 20))
    metric = str(rng.choice(list(METRICS)))
    rows, stride = sample(rng, stored, count, dim), dim + int(rng.integers(0, 3))
    held = noisy(np.zeros((count, stride), rows.dtype), rng)
    held[:, :dim] = rows
    queries = rng.standard_normal((asked, dim)).astype(np.float32)
    mask = rng.integers(0, 2, count).astype(np.uint8) if rng.integers(2) else None
    first, own = int(rng.integers(0, 9)), int(rng.integers(2))
    scores = GuardedArray((asked, count), np.float64, rng)
    shim.launch(
        *(f"exact_scores_{stored}", (2, -(-asked // 8)), (64,), noisy(queries, rng)),
        *(np.uint32(asked), np.uint32(first), held, np.uint64(stride), np.uint32(count)),
        *(np.uint32(dim), np.uint32(METRICS[metric]), mask, np.uint32(own), None, scores.array),
        seed=seed,
    )
    wide = rows.astype(np.float32).astype(np.float64)
    answers = np.tile(np.isfinite(wide).all(axis=1), (asked, 1))
    if mask is not None:
        answers &= mask != 0
    if own:
        answers &= np.arange(count) != first + np.arange(asked)[:, None]
    keys = np.where(answers, keys_of(queries, wide, metric), -np.inf)
    np.testing.assert_array_equal(scores.check(), keys)
    check_finish(shim, seed, metric, queries, keys)
    out = GuardedArray((count, dim), np.float32, rng)
    sizes = (np.uint64(stride), np.uint32(count), np.uint32(dim))
    shim.launch(f"widen_{stored}", (3,), (32,), held, *sizes, out.array, seed=seed)
    np.testing.assert_array_equal(out.check(), rows.astype(np.float32))


def check_finish(shim: Shim, seed: int, metric: str, queries: np.ndarray, keys: np.ndarray) -> None:
    """Give the best of every query whose list was cut, and leave the others as they are."""
    rng = np.random.default_rng(seed)
    (asked, dim), count = queries.shape, keys.shape[1]
    found, k = int(rng.integers(1, count + 1)), int(rng.integers(1, 50))
    order = np.argsort(-keys, axis=1, kind="stable")[:, :found]
    best = np.take_along_axis(keys, order, axis=1)
    lengths = GuardedArray(asked, np.uint32, rng)
    counts = rng.integers(0, 9, asked).astype(np.uint32)
    shim.launch(
        *("find_cut_lists", (2,), (32,), counts, np.uint32(4), np.uint32(asked)),
        *(np.uint32(count), lengths.array),
        seed=seed,
    )
    cut = counts > 4
    np.testing.assert_array_equal(lengths.check(), np.where(cut, count, 0))
    total = GuardedArray(1, np.uint32, rng)
    before_it = int(total.array[0])
    shim.launch("count_open", (2,), (32,), lengths.array, np.uint32(asked), total.array, seed=seed)
    assert int(total.check()[0] - np.uint32(before_it)) == cut.sum()
    labels = rng.permutation(count).astype(np.int64) if rng.integers(2) else None
    ids = GuardedArray((asked, k), np.int64, rng)
    scores, held = GuardedArray((asked, k), np.float32, rng), GuardedArray(asked, np.int64, rng)
    before = ids.array.copy()
    shim.launch(
        *("finish_f64", (asked,), (32,), best, order.astype(np.uint32), np.uint32(found), queries),
        *(np.uint32(dim), np.uint32(METRICS[metric]), labels, lengths.array, np.uint32(k)),
        *(ids.array, scores.array, held.array),
        seed=seed,
    )
    np.testing.assert_array_equal(ids.check()[~cut], before[~cut])
    norms = np.linalg.norm(queries.astype(np.float64), axis=1)
    for q in np.flatnonzero(cut):
        real = np.isfinite(best[q, :k])
        assert held.check()[q] == real.sum()
        named = order[q, :k] if labels is None else labels[order[q, :k]]
        np.testing.assert_array_equal(ids.array[q, : len(real)], np.where(real, named, MISSING))
        assert (ids.array[q, len(real) :] == MISSING).all()
        shown = {"ip": best[q, :k], "l2": -best[q, :k], "cosine": best[q, :k] / norms[q]}[metric]
        wanted = np.where(real, shown, np.nan)
        np.testing.assert_allclose(scores.check()[q, : len(real)], wanted, rtol=2e-7)


@pytest.mark.parametrize("stored", STORED)
def test_the_definition(shim: Shim, stored: str) -> None:
    @settings(max_examples=6, deadline=None, derandomize=True)
    @given(st.integers(0, 2**32))
    def run(seed: int) -> None:
        check(shim, seed, stored)

    run()


FAULTS = {
    "the last query of eight is left out": ("min(kQueries, query_count - first)", "kQueries - 1"),
    "what is not finite answers": ("&& is_finite(sums[j]) && is_finite(norm)", ""),
    "a query's own row answers": ("answers && !own", "answers"),
    "rows are read as if they lay side by side": ("row * rows.stride", "row * rows.dim"),
    "a list that is just full was cut": ("counts[q] > capacity", "counts[q] >= capacity"),
    "queries that are answered count as open": ("&& lengths[q] != 0", ""),
    "what is missing has a label": ("is_real ? label : kMissing", "label"),
    "all that is found is counted once": ("counted += ", "counted = "),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_caught(compiler: ShimCompiler, fault: str) -> None:
    planted = compiler.planted("exact.cu", FAULTS[fault])
    assert is_noticed(lambda seed: check(planted, seed, "f32"), 25), "nobody noticed"
