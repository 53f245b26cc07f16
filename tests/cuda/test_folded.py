"""Folded queries and scores of mapped rows on the shim, against float64; planted faults."""

from __future__ import annotations

import numpy as np
import pytest
from cuda.shim_library import GuardedArray, Shim, ShimCompiler, is_noticed, noisy


def check(shim: Shim, seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, rows, dim, rank = (int(rng.integers(1, most)) for most in (10, 40, 70, 9))
    metric, is_matrix = seed % 3, bool(rng.integers(2))
    q, x = (rng.standard_normal((count, dim)).astype(np.float32) for count in (n, rows))
    rank = dim if is_matrix else rank
    left, right = rng.standard_normal((2, rank, dim)).astype(np.float32).astype(np.float64)
    weights = rng.standard_normal(rank)
    wide = q.astype(np.float64)
    wanted = wide @ right if is_matrix else wide + (wide @ left.T * weights) @ right
    folded = GuardedArray((n, 2, dim), np.float32, rng)
    u32, u64 = np.uint32, np.uint64
    shim.launch(
        *("fold_queries", (n,), (128,), noisy(q, rng), u32(dim), u32(rank)),
        *(None if is_matrix else np.ascontiguousarray(left.T), weights, right),
        *(GuardedArray((n, 2 * rank), np.float64, rng).array, folded.array),
        seed=seed,
    )
    both = folded.check().astype(np.float64).sum(axis=1)
    np.testing.assert_allclose(both, wanted, rtol=0, atol=1e-12 * (1 + np.abs(wanted).max()))
    lengths, mask = rng.uniform(0.1, 3, rows), rng.integers(0, 2, rows).astype(np.uint8)
    lengths[0] = 0
    keys = GuardedArray((n, rows), np.float64, rng)
    shim.launch(
        *("folded_scores_f32", (int(rng.integers(1, 4)), -(-n // 4)), (64,), folded.array),
        *(u32(n), noisy(x, rng), u64(dim), u32(rows), u32(dim), u32(metric)),
        *(lengths, mask, None, keys.array),
        seed=seed,
    )
    product = both @ x.astype(np.float64).T
    with np.errstate(divide="ignore", invalid="ignore"):
        cosine = np.where(lengths > 0, product / lengths, 0)
    exact = (product, 2 * product - lengths**2, cosine)[metric]
    exact = np.where(mask, exact, -np.inf)
    scale = 1e-12 * (1 + np.abs(exact[np.isfinite(exact)]).max(initial=0))
    np.testing.assert_allclose(keys.check(), exact, rtol=0, atol=scale)
    shim.launch("finish_keys", (n,), (32,), q, u32(dim), None, u32(rows), keys.array, seed=seed)
    moved = np.minimum(exact - (wide**2).sum(axis=1, keepdims=True), 0)
    np.testing.assert_allclose(keys.check(), moved, rtol=0, atol=scale + 1e-12 * dim)


@pytest.mark.parametrize("seed", range(24))
def test_folding(shim: Shim, seed: int) -> None:
    check(shim, seed)


FAULTS = {
    "the low part is left out": ("warp_sum(high[j]) + warp_sum(low[j])", "warp_sum(high[j])"),
    "a factor rounded once": ("own[rank + j] = as_float(factor - own[j]);", "own[rank + j] = 0.0;"),
    "rows as long as they were": ("product / length", "product"),
    "the query itself is dropped": ("if (!is_matrix) sum += static_cast<double>(q[k]);", ""),
    "factors are read before they are there": (
        "    __syncthreads();\n    for (u32 k",
        "    for (u32 k",
    ),
    "filters are not looked at": ("mask[row] != 0", "true"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_caught(compiler: ShimCompiler, fault: str) -> None:
    planted = compiler.planted("folded.cu", FAULTS[fault])
    assert is_noticed(lambda seed: check(planted, seed), 12), "nobody noticed"
