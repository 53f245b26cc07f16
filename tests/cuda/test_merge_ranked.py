"""merge_ranked: what parts of the rows found, as the results of all rows."""

from __future__ import annotations

import numpy as np
import pytest
from cuda.shim_library import GuardedArray, Shim, ShimCompiler, is_noticed, noisy
from hypothesis import given, settings
from hypothesis import strategies as st

MISSING = np.iinfo(np.int64).min
APART = 256


def lists_of(
    rng: np.random.Generator, parts: int, queries: int, k: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return keys, ids and scores, (parts, queries, k): sorted, with ties and with less than k."""
    keys = np.full((parts, queries, k), -np.inf)
    ids = np.full((parts, queries, k), MISSING)
    for query in range(queries):
        labels = rng.permutation(np.arange(-3, parts * k * 2))
        for part in range(parts):
            n = int(rng.integers(0, k + 1)) if rng.random() < 0.5 else k
            values = rng.integers(-2, 3, n) * 0.5 * (1 + rng.integers(0, 2, n) * 2.0**-40)
            values += 9 * (rng.random() < 0.3)  # all of a part may be better than all of others
            mine = labels[part * k : part * k + n]
            order = np.lexsort((mine, -values))
            keys[part, query, :n], ids[part, query, :n] = values[order], mine[order]
    scores = np.where(ids == MISSING, np.nan, keys * 2).astype(np.float32)
    return keys, ids, scores


def check(shim: Shim, seed: int, parts: int, queries: int, k: int, blocks: int = 1) -> None:
    """Compare a launch with sorting everything."""
    rng = np.random.default_rng(seed)
    keys, ids, scores = lists_of(rng, parts, queries, k)
    entries = queries * k
    apart = -(-20 * entries // APART) * APART
    packed = np.zeros((parts, apart), np.uint8)
    for start, array in ((0, keys), (8, ids), (16, scores)):
        flat = np.ascontiguousarray(array.reshape(parts, entries)).view(np.uint8)
        packed[:, start * entries : start * entries + flat.shape[1]] = flat
    out = [GuardedArray((queries, k), t, rng) for t in (np.int64, np.float32)]
    counts = GuardedArray(queries, np.int64, rng)
    shim.launch(
        *("merge_ranked", (queries, blocks), (32,), noisy(packed, rng), np.uint64(apart)),
        *(np.uint32(parts), np.uint32(queries), np.uint32(k)),
        *(out[0].array, out[1].array, counts.array),
        seed=seed,
    )
    for query in range(queries):
        real = ids[:, query] != MISSING
        found = np.lexsort((ids[:, query][real], -keys[:, query][real]))[:k]
        n = len(found)
        assert counts.check()[query] == n
        np.testing.assert_array_equal(out[0].check()[query, :n], ids[:, query][real][found])
        np.testing.assert_array_equal(out[1].check()[query, :n], scores[:, query][real][found])
        assert (out[0].array[query, n:] == MISSING).all()
        assert np.isnan(out[1].array[query, n:]).all()


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32),
    st.integers(1, 5),
    st.integers(1, 3),
    st.integers(1, 70),
    st.integers(1, 3),
)
def test_it_is_sorting_everything(
    shim: Shim, seed: int, parts: int, queries: int, k: int, blocks: int
) -> None:
    check(shim, seed, parts, queries, k, blocks)


def test_keys_of_what_is_missing(shim: Shim) -> None:
    rng = np.random.default_rng(1)
    keys = np.array([[3.0, -1.0], [2.0, -np.inf], [np.nan, 1.0]])
    out = GuardedArray((3, 4), np.float64, rng)
    before = out.array.copy()
    lengths = np.array([1, 1, 0], np.uint32)
    shim.launch(
        *("keep_keys_f64", (3,), (32,), keys, np.uint32(2), lengths, np.uint32(4), out.array)
    )
    none = -np.inf
    np.testing.assert_array_equal(out.check()[:2], [[3, -1, none, none], [2, none, none, none]])
    np.testing.assert_array_equal(out.array[2], before[2])


def test_bytes_in_another_order(shim: Shim) -> None:
    rng = np.random.default_rng(2)
    order = rng.permutation(100).astype(np.uint32)
    values, out = noisy(rng.integers(0, 255, 100, np.uint8), rng), GuardedArray(100, np.uint8, rng)
    shim.launch("pick_bytes", (2,), (32,), values, order, np.uint64(100), out.array)
    np.testing.assert_array_equal(out.check(), values[order])


FAULTS = {
    "a tie goes to the larger id": ("ids[first + middle] < id)", "ids[first + middle] > id)"),
    "of a tie one is dropped": (" || (other == key && ids[first + middle] < id)", ""),
    "a list is read at another query": ("keys[first + middle];", "keys[middle];"),
    "a part's lists begin elsewhere": (
        "own(lists + part * apart",
        "own(lists + (part + 1 < parts ? part : 0) * apart",
    ),
    "the last entry is not compared": ("u32 low = 0, high = k;", "u32 low = 0, high = k - 1;"),
    "places in the own list are forgotten": ("u64 place = j;", "u64 place = 0;"),
    "more are counted than are asked for": ("all < k ? all : k", "all"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_caught(compiler: ShimCompiler, fault: str) -> None:
    planted = compiler.planted("merge_ranked.cu", FAULTS[fault])
    assert is_noticed(lambda seed: check(planted, seed, 3, 2, 24), 12), "nobody noticed"


def test_a_copy_without_a_fault_passes(compiler: ShimCompiler) -> None:
    copy = compiler.planted("merge_ranked.cu")
    assert not is_noticed(lambda seed: check(copy, seed, 3, 2, 24), 12)
