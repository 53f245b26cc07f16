"""select_k: the k best of rows of scores, ties by smaller id, whatever the schedule."""

from __future__ import annotations

import numpy as np
import pytest
from cuda.shim_library import GuardedArray, Shim, ShimCompiler, ShimError, is_noticed, noisy
from hypothesis import given, settings
from hypothesis import strategies as st

MISSING = 0xFFFFFFFF


def best(scores: np.ndarray, ids: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the definition: sort everything by score descending, id ascending."""
    order = np.lexsort((ids, -scores.astype(np.float64)))[:k]
    lack = k - len(order)
    return (
        np.concatenate([scores[order], np.full(lack, -np.inf, scores.dtype)]),
        np.concatenate([ids[order], np.full(lack, MISSING, np.uint32)]),
    )


def sample(rng: np.random.Generator, rows: int, length: int) -> np.ndarray:
    """Return scores with many ties, extremes and both zeros."""
    kind = rng.integers(4)
    if kind == 0:
        return rng.standard_normal((rows, length), dtype=np.float32)
    if kind == 1:
        return rng.integers(-3, 4, (rows, length)).astype(np.float32) * np.float32(-0.0 + 0.5)
    if kind == 2:  # all in the last bits
        return np.float32(1) + rng.integers(0, 9, (rows, length)).astype(np.float32) * 2.0**-23
    odd = np.array([0.0, -0.0, np.inf, -np.inf, 3e38, -3e38, 1e-45, -1e-45], np.float32)
    return rng.choice(odd, (rows, length))


def check(
    shim: Shim,
    seed: int,
    rows: int,
    length: int,
    k: int,
    *,
    threads: int,
    slices: int,
    dtype: type = np.float32,
) -> None:
    """Compare a launch with the definition."""
    rng = np.random.default_rng(seed)
    stride = length + int(rng.integers(0, 5))
    scores = sample(rng, rows, stride).astype(dtype)
    if dtype == np.float64:  # what float32 does not tell apart
        scores *= 1 + rng.integers(0, 3, scores.shape) * 2.0**-40
    with_ids, with_counts, with_scratch = rng.integers(0, 2, 3)
    ids = np.stack([rng.permutation(stride) for _ in range(rows)]).astype(np.uint32)
    first_id = int(rng.integers(0, 1000))
    counts = rng.integers(0, length + 1, rows).astype(np.uint32)
    out_scores = GuardedArray((rows, slices, k), dtype, rng)
    out_ids = GuardedArray((rows, slices, k), np.uint32, rng)
    given_ids = noisy(ids, rng) if with_ids else None
    sizes = (np.uint64(stride), counts if with_counts else None, np.uint32(length))
    width = 8 if dtype == np.float32 else 16
    scratch = GuardedArray((rows, slices, k, width), np.uint8, rng)
    shim.launch(
        "select_k_radix_f32" if width == 8 else "select_k_radix_f64",
        *((rows, slices), (threads,), noisy(scores, rng), given_ids, *sizes),
        *(np.uint32(first_id), np.uint32(k), scratch.array if with_scratch else None),
        *(out_scores.array, out_ids.array),
        shared=0 if with_scratch else width * k,
        seed=seed,
    )
    scratch.check()
    got_scores, got_ids = out_scores.check(), out_ids.check()
    each = -(-length // slices)
    for row in range(rows):
        count = int(counts[row]) if with_counts else length
        names = ids[row] if with_ids else np.arange(first_id, first_id + stride, dtype=np.uint32)
        for part in range(slices):
            inside = slice(min(count, part * each), min(count, (part + 1) * each))
            wanted = best(scores[row, inside], names[inside], k)
            np.testing.assert_array_equal(got_ids[row, part], wanted[1])
            np.testing.assert_array_equal(got_scores[row, part], wanted[0])


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32),
    st.integers(1, 3),
    st.integers(1, 900),
    st.integers(1, 1000),
    st.sampled_from([32, 64, 256]),
    st.integers(1, 3),
    st.sampled_from([np.float32, np.float64]),
)
def test_the_best(
    shim: Shim, seed: int, rows: int, length: int, k: int, threads: int, slices: int, dtype: type
) -> None:
    check(shim, seed, rows, length, k, threads=threads, slices=slices, dtype=dtype)


def test_any_k(shim: Shim) -> None:
    check(shim, 5, 1, 9000, 5000, threads=128, slices=1)


def test_pairs_given_twice(shim: Shim) -> None:
    """They break the contract that ids differ, and still nothing is written out of bounds."""
    rng = np.random.default_rng(0)
    scores, ids = np.ones((1, 300), np.float32), np.zeros((1, 300), np.uint32)
    out = GuardedArray((1, 20), np.float32, rng), GuardedArray((1, 20), np.uint32, rng)
    shim.launch(
        *("select_k_radix_f32", (1,), (64,), scores, ids, np.uint64(300), None, np.uint32(300)),
        *(np.uint32(0), np.uint32(20), None, out[0].array, out[1].array),
        shared=160,
    )
    assert (out[0].check() == 1).all()
    assert (out[1].check() == 0).all()


def is_wrong(shim: Shim) -> bool:
    """Tell whether some schedule and some data show that the kernel is wrong."""
    return is_noticed(lambda seed: check(shim, seed, 2, 333 + seed, 24, threads=64, slices=1), 12)


FIND_BIN = "find_bin(state.bins, k - digits.above, state.found);"
FAULTS = {
    "no barrier before the histogram is read": (
        "        __syncthreads();\n        if (warp_id() == 0) find_bin",
        "        if (warp_id() == 0) find_bin",
    ),
    "no barrier before the bin is read": (
        f"{FIND_BIN}\n        __syncthreads();",
        FIND_BIN,
    ),
    "no barrier between the steps of the sort": (
        "            }\n            __syncthreads();\n",
        "            }\n",
    ),
    "a barrier that only some threads reach": (
        f"if (warp_id() == 0) {FIND_BIN}\n        __syncthreads();",
        f"if (warp_id() == 0) {{{FIND_BIN}\n        __syncthreads();}}",
    ),
    "the last score is left out": ("at < slice.count; at +=", "at + 1 < slice.count; at +="),
    "a score past the row's end is taken": (
        "at < slice.count; at +=",
        "at <= slice.count; at +=",
    ),
    "ties go to the larger id": ("<< 32 | ~id", "<< 32 | id"),
    "of a tie one is dropped": ("if (place < held)", "if (place + 1 < held)"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_caught(compiler: ShimCompiler, fault: str) -> None:
    assert is_wrong(compiler.planted("select_k.cu", FAULTS[fault])), "nobody noticed"


def test_a_copy_without_a_fault_passes(compiler: ShimCompiler) -> None:
    assert not is_wrong(compiler.planted("select_k.cu"))


def test_what_no_device_takes(shim: Shim) -> None:
    with pytest.raises(ShimError, match="no kernel of that name"):
        shim.launch("select_k_f64", (1,), (32,))
    with pytest.raises(ShimError, match="takes 10 arguments"):
        shim.launch("select_k_radix_f32", (1,), (32,), None)
    with pytest.raises(ShimError, match="2048 threads a block"):
        shim.launch("select_k_radix_f32", (1,), (2048,), *[None] * 10)
    with pytest.raises(ShimError, match="size 0"):
        shim.launch("select_k_radix_f32", (0,), (32,), *[None] * 10)
    with pytest.raises(ShimError, match="232448 at most"):
        shim.launch("select_k_radix_f32", (1,), (32,), *[None] * 10, shared=1 << 20)
