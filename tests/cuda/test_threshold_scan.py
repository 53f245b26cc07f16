"""threshold_scan: exactly the scores that reach their query's threshold; what is made of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cuda.scan_pipeline import STORED
from cuda.shim_library import BoxMap, GuardedArray, Shim, ShimCompiler, is_noticed, noisy
from cuda.test_group_maxima import strided, wide
from hypothesis import given, settings
from hypothesis import strategies as st

TILES = {f"scan_{stored}": (128, 128) for stored in ("f16", "bf16", "u8", "i8")}
TILES |= {f"warpgroups_{stored}": (128, 256) for stored in ("f16", "bf16", "u8", "i8")}
TILES["scan_f32"] = (64, 128)


def check(shim: Shim, kernel: str, seed: int, count: int, rows_count: int, dim: int) -> None:
    """Elements are small whole numbers, so that every score is exact."""
    rng = np.random.default_rng(seed)
    stored = kernel.split("_")[-1]
    dtype = STORED[stored]
    low = 0 if stored == "u8" else -4
    are_bytes = stored in ("u8", "i8")
    q = rng.integers(-4, 5, (count, dim)).astype(np.int8 if are_bytes else dtype)
    x = rng.integers(low, 5, (rows_count, dim)).astype(dtype)
    with_scale, with_bias, misplaced = rng.integers(0, 2, 3)
    extra, offset = -dim % (16 // x.dtype.itemsize), 0
    if misplaced and "warpgroups" not in kernel:
        extra, offset = int(rng.integers(9)), int(rng.integers(3))
    q, x = strided(q, extra, offset, rng), strided(x, extra, offset, rng)
    constants = {
        "scale": 2.0 ** rng.integers(-2, 3, rows_count).astype(np.float32) if with_scale else None,
        "bias": rng.integers(-9, 9, rows_count).astype(np.float32) if with_bias else None,
        "unit": rng.integers(1, 4, count).astype(np.float32) if with_bias else None,
        "init": rng.integers(-9, 9, count).astype(np.int32) if are_bytes else None,
    }
    scores = wide(q[:, :dim]) @ wide(x[:, :dim]).T
    if are_bytes:
        scores += constants["init"][:, None]
    if with_scale:
        scores *= constants["scale"]
    if with_bias:
        scores += wide(constants["bias"]) * wide(constants["unit"])[:, None]
    # Often equal to a score, and for some queries out of reach.
    thresholds = np.quantile(scores, rng.choice([0.5, 0.9, 0.99]), axis=1, method="nearest")
    thresholds = np.where(rng.random(count) < 0.1, np.inf, thresholds).astype(np.float32)
    capacity = int(rng.integers(1, rows_count + 40))
    given = (*constants.values(), thresholds)
    compare(launch(shim, kernel, q, x, dim, given, capacity, rng, seed), scores, thresholds)


def compare(
    found: tuple[np.ndarray, np.ndarray, np.ndarray], scores: np.ndarray, thresholds: np.ndarray
) -> None:
    """Every survivor is there once, with its score, or counted where the list is full."""
    kept, rows, counts = found
    np.testing.assert_array_equal(counts, (scores >= thresholds[:, None]).sum(axis=1))
    for query in range(len(scores)):
        held = min(counts[query], kept.shape[1])
        those = rows[query, :held]
        assert len(set(those.tolist())) == held
        np.testing.assert_array_equal(kept[query, :held], scores[query, those])
        assert (kept[query, :held] >= thresholds[query]).all()


def launch(
    shim: Shim,
    kernel: str,
    q: np.ndarray,
    x: np.ndarray,
    dim: int,
    given: tuple[np.ndarray | None, ...],
    capacity: int,
    rng: np.random.Generator,
    seed: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Run a kernel over all tiles; scores and rows of survivors, and how many there are."""
    kept = GuardedArray((len(q), capacity), np.float32, rng)
    rows = GuardedArray((len(q), capacity), np.uint32, rng)
    counts = GuardedArray(len(q), np.uint32, rng)
    counts.array[:] = 0
    qm, rn = TILES[kernel]
    sizes = (np.uint32(len(q)), np.uint32(len(x)), np.uint32(dim * x.dtype.itemsize))
    if "warpgroups" in kernel:
        grid, block, shared = int(rng.integers(1, 4)), 384, 4 * (384 * 128 + 16) + 1024
        matrices: tuple[Any, ...] = (BoxMap(q, dim, qm), BoxMap(x, dim, rn), *sizes)
    else:
        grid, block, shared = -(-len(q) // qm) * -(-len(x) // rn), 256, 240 * (qm + rn)
        strides = (np.uint64(q.strides[0]), np.uint64(x.strides[0]))
        matrices = (q, strides[0], sizes[0], x, strides[1], *sizes[1:])
    shim.launch(
        *(f"threshold_{kernel}", (grid,), (block,), *matrices, *given),
        *(kept.array, rows.array, counts.array, np.uint32(capacity)),
        shared=shared,
        seed=seed,
    )
    return kept.check(), rows.check(), counts.check()


@pytest.mark.parametrize("kernel", TILES)
def test_any_shape(shim: Shim, kernel: str) -> None:
    @settings(max_examples=5, deadline=None, derandomize=True)
    @given(st.integers(0, 2**32), st.integers(1, 140), st.integers(1, 600), st.integers(1, 300))
    def run(seed: int, count: int, rows: int, dim: int) -> None:
        check(shim, kernel, seed, count, rows, dim)

    run()
    for seed in range(3):  # several tiles, and more slices than stages
        check(shim, kernel, seed, 130 + seed, 520 + 90 * seed, 350 + 100 * seed)


def prove(shim: Shim, seed: int) -> None:
    """What keep_survivors proves is right, and all that can be proven is."""
    rng = np.random.default_rng(seed)
    queries, capacity, k, rank = 40, 30, 5, 3
    margin = rng.choice(np.float32([0, 1, 2, np.inf]), queries)
    sample = -np.sort(-rng.integers(10, 20, (queries, rank)), axis=1).astype(np.float32)
    thresholds = GuardedArray(queries, np.float32, rng)
    shim.launch(
        *("find_thresholds", (2,), (32,), sample, np.uint32(rank), margin, np.uint32(queries)),
        thresholds.array,
        seed=seed,
    )
    bound = np.where(np.isinf(margin), np.inf, sample[:, -1] - 2 * np.nan_to_num(margin, posinf=0))
    np.testing.assert_array_equal(thresholds.check(), bound.astype(np.float32))
    counts = rng.integers(0, capacity + 4, queries).astype(np.uint32)
    scores = bound[:, None] + rng.integers(0, 9, (queries, capacity))
    scores = np.where(np.isinf(scores), 0, scores).astype(np.float32)
    rows = rng.permuted(np.tile(np.arange(capacity, dtype=np.uint32), (queries, 1)), axis=1)
    held = np.minimum(counts, capacity)
    alive = np.arange(capacity) < held[:, None]
    best = -np.sort(-np.where(alive, scores, -np.inf), axis=1)[:, :k].astype(np.float32).copy()
    lists, kept = GuardedArray((queries, capacity), np.uint32, rng), np.zeros(queries, np.uint32)
    lengths = GuardedArray(queries, np.uint32, rng)
    shim.launch(
        *("keep_survivors", (queries,), (64,), scores, rows, counts, np.uint32(capacity)),
        *(thresholds.array, best, np.uint32(k), margin, np.uint32(99), lists.array, kept),
        lengths.array,
        seed=seed,
    )
    floor = best[:, -1] - 2 * margin
    proven = (counts >= k) & (counts <= capacity) & (floor >= bound)
    np.testing.assert_array_equal(lengths.check(), np.where(proven, 0, 99))
    for q in range(queries):
        wanted = rows[q, alive[q] & (scores[q] >= floor[q])] if proven[q] else []
        assert sorted(lists.check()[q, : kept[q]]) == sorted(wanted)


def test_what_is_proven(shim: Shim) -> None:
    for seed in range(4):
        prove(shim, seed)


def check_rows(shim: Shim, seed: int, stored: str) -> None:
    """A sample has a row of each 64; rows of lists are scored exactly."""
    rng = np.random.default_rng(seed)
    samples, dim = 5, int(rng.integers(1, 20))
    x = rng.integers(0 if stored == "u8" else -9, 9, (64 * samples + 7, dim)).astype(STORED[stored])
    bias = rng.standard_normal(len(x)).astype(np.float32)
    are_bytes = x.dtype.itemsize == 1
    word = np.uint8 if are_bytes else np.uint16
    words = dim if are_bytes else dim * x.dtype.itemsize // 2
    out = GuardedArray((samples, words), word, rng)
    biases = GuardedArray(samples, np.float32, rng)
    width = (np.uint64(words), np.uint32(words))
    shim.launch(
        *(
            "sample_rows_of_bytes" if are_bytes else "sample_rows",
            (samples,),
            (32,),
            noisy(x, rng),
            *width,
            None,
            bias,
        ),
        *(out.array, np.uint64(words), None, biases.array),
        seed=seed,
    )
    drawn = np.flatnonzero(np.isin(bias, biases.check()))
    np.testing.assert_array_equal(drawn // 64, np.arange(samples))
    np.testing.assert_array_equal(out.check().view(x.dtype), x[drawn])
    q = rng.integers(-9, 9, (3, dim)).astype(np.float32)
    lists = rng.integers(0, len(x), (3, 6)).astype(np.uint32)
    counts = np.array([6, 0, 4], np.uint32)
    keys = np.full((3, 6), 7.5)
    shim.launch(
        *(f"rescore_rows_{stored}", (3, 2), (64,), q, np.uint64(dim), noisy(x, rng)),
        *(np.uint64(dim), np.uint32(dim), np.uint32(0), None, lists, counts, np.uint32(6), keys),
        seed=seed,
    )
    products = np.einsum("qd,qjd->qj", wide(q), wide(x)[lists])
    is_listed = np.arange(6) < counts[:, None]
    np.testing.assert_array_equal(keys, np.where(is_listed, products, 7.5))


@pytest.mark.parametrize("stored", ["f32", "f16", "bf16", "u8", "i8"])
def test_rows_of_samples_and_of_lists(shim: Shim, stored: str) -> None:
    for seed in range(3):
        check_rows(shim, seed, stored)


SCAN_FAULTS = {
    "a tie at the threshold is dropped": ("if (score >= threshold)", "if (score > threshold)"),
    "a maximum at the threshold is dropped": ("!(best >= threshold)", "!(best > threshold)"),
    "one score is never looked at": (
        "cell = 0; cell < Tile::kCells",
        "cell = 1; cell < Tile::kCells",
    ),
    "a row past the last counts": ("if (row >= rows) return -infinity();", ""),
    "a list is written past its end": ("(place >= capacity) return", "(place > capacity) return"),
    "no barrier before a slice is used": ("    __syncthreads();  // the slice", "  // the slice"),
}
PROOF_FAULTS = {
    "a list that was cut is whole": ("count <= capacity && ", ""),
    "the k-th best need not be above the threshold": (" && floor >= thresholds[q]", ""),
    "what ties with the floor is left out": ("+ i] < floor)", "+ i] <= floor)"),
    "margins without a bound": ("is_bounded ? ", "true ? "),
}


WARPGROUP_FAULTS = {
    "stages are overwritten before they were read": ("ring.empty[ring.stage].wait(", "(void)("),
    "stages are given back before they were read": ("products<1>();", "products<2>();"),
    "phases do not flip": ("parity ^= 1;", ""),
    "tiles are read without their swizzle": ("u64{1} << 62", "u64{0}"),
    "groups of eight rows lie closer": ("kBoxAlign / 16}", "kBoxAlign / 32}"),
    "a tile begins elsewhere than it says": ("u64{1} << 62", "u64{1} << 62 | u64{1} << 49"),
    "sums are read before they are there": ("    wait_for_sums(sum);", ""),
    "sums are not fenced": ("    fence_sums();", ""),
    "copies do not see the barriers": ("        fence_barriers();", ""),
    "a row past the last counts": ("if (row >= rows) return -infinity();", ""),
    "a tie at the threshold is dropped": ("if (score >= threshold)", "if (score > threshold)"),
}


def check_planted(shim: Shim, kernel: str, seed: int) -> None:
    check(shim, kernel, seed, 20 + seed, 270 + seed, 90 + 99 * seed)


@pytest.mark.parametrize("fault", SCAN_FAULTS)
def test_planted_faults_of_the_scan_are_caught(compiler: ShimCompiler, fault: str) -> None:
    planted = compiler.planted("threshold_scan_floats.cu", SCAN_FAULTS[fault])
    assert is_noticed(lambda seed: check_planted(planted, "scan_bf16", seed), 6), "nobody noticed"


@pytest.mark.parametrize("fault", WARPGROUP_FAULTS)
def test_planted_faults_of_warpgroups_are_caught(compiler: ShimCompiler, fault: str) -> None:
    planted = compiler.planted("threshold_warpgroups_u8.cu", WARPGROUP_FAULTS[fault])
    assert is_noticed(lambda seed: check_planted(planted, "warpgroups_u8", seed), 6), "not noticed"


@pytest.mark.parametrize("fault", PROOF_FAULTS)
def test_planted_faults_of_the_proof_are_caught(compiler: ShimCompiler, fault: str) -> None:
    planted = compiler.planted("survivors.cu", PROOF_FAULTS[fault])
    assert is_noticed(lambda seed: prove(planted, seed), 10), "nobody noticed"
