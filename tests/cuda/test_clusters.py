"""k-means on the shim: the nearest centroid as float64 has it, and sorted members."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from cuda.scan_pipeline import METRICS
from cuda.shim_library import GuardedArray, Overlaid, Shim, ShimCompiler, is_noticed, noisy
from cuda.test_scan import canonical, keys_of
from hypothesis import given, settings
from hypothesis import strategies as st

DTYPES = {"f32": np.float32, "f16": np.float16, "bf16": ml_dtypes.bfloat16}


def sample(
    rng: np.random.Generator, name: str, count: int, clusters: int, dim: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return points and centroids, among them equal ones, and points between two."""
    centroids = rng.standard_normal((clusters, dim)).astype(np.float32)
    if rng.integers(2):
        centroids = np.rint(centroids * 2).astype(np.float32)
    centroids[-1] = centroids[0]
    points = rng.standard_normal((count, dim))
    pairs = centroids[rng.integers(0, clusters, (count, 2))]
    points[::3] = pairs.mean(axis=1)[::3]
    points[1::7] = pairs[1::7, 0]
    if rng.integers(4) == 0:
        points, centroids = points * 1e-3, centroids * np.float32(1e3)
    return points.astype(DTYPES[name]), centroids


def assign(
    shim: Shim | Overlaid,
    seed: int,
    name: str,
    metric: str,
    points: np.ndarray,
    centroids: np.ndarray,
) -> np.ndarray:
    """Return the nearest centroid of every point, by the kernels."""
    rng = np.random.default_rng(seed)
    (count, dim), clusters = points.shape, len(centroids)
    is_half = name != "f32"
    norms = GuardedArray(clusters, np.float64, rng)
    scale = GuardedArray(clusters, np.float32, rng) if metric == "cosine" else None
    bias = GuardedArray(clusters, np.float32, rng) if metric == "l2" else None
    limits = np.zeros(2, np.float32)
    stride = dim + int(rng.integers(0, 9))
    rounded = GuardedArray((clusters, stride), DTYPES[name], rng)
    number = np.uint32(METRICS[metric])
    sizes = (np.uint64(dim), np.uint32(clusters), np.uint32(dim), number)
    constants = (norms.array, scale and scale.array, bias and bias.array, limits)
    shim.launch(
        *(f"round_rows_{name}" if is_half else "row_constants_f32", (-(-clusters // 2),), (64,)),
        *(centroids, *sizes, *((rounded.array, np.uint64(stride)) if is_half else ()), *constants),
        seed=seed,
    )
    margin = GuardedArray(count, np.float32, rng)
    shim.launch(
        *(f"point_margins_{name}", (-(-count // 2),), (64,), points, np.uint64(dim)),
        *(np.uint32(count), np.uint32(dim), number, limits, margin.array),
        seed=seed,
    )
    ids, lead = GuardedArray(count, np.uint32, rng), GuardedArray(count, np.float32, rng)
    stored = rounded.check() if is_half else centroids
    tile = 128 if is_half else 64
    shim.launch(
        *(f"nearest_{name}", (-(-count // tile),), (256,), points, np.uint64(points.strides[0])),
        *(np.uint32(count), stored, np.uint64(stored.strides[0]), np.uint32(clusters)),
        *(np.uint32(dim * points.dtype.itemsize), scale and scale.array, bias and bias.array),
        *(ids.array, lead.array),
        shared=240 * (tile + 128),
        seed=seed,
    )
    shim.launch(
        *(f"nearest_exact_{name}", (count,), (96,), points, np.uint64(dim), centroids),
        *(np.uint64(dim), np.uint32(clusters), np.uint32(dim), number, norms.check()),
        *(lead.check(), margin.check(), ids.array),
        seed=seed,
    )
    return ids.check()


def check(shim: Shim | Overlaid, seed: int, name: str, metric: str) -> None:
    rng = np.random.default_rng(seed)
    count, clusters = int(rng.integers(1, 150)), int(rng.integers(1, 290))
    points, centroids = sample(rng, name, count, clusters, int(rng.integers(1, 40)))
    got = assign(shim, seed, name, metric, noisy(points, rng), noisy(centroids, rng))
    wide = points.astype(np.float32)
    keys = keys_of(wide, centroids.astype(np.float64), metric)
    np.testing.assert_array_equal(got, keys.argmax(axis=1))


@pytest.mark.parametrize("metric", ["ip", "l2", "cosine"])
@pytest.mark.parametrize("name", DTYPES)
def test_the_nearest_centroid(shim: Shim, name: str, metric: str) -> None:
    @settings(max_examples=5, deadline=None, derandomize=True)
    @given(st.integers(0, 2**32))
    def run(seed: int) -> None:
        check(shim, seed, name, metric)

    run()


def sort_by_number(
    shim: Shim | Overlaid, seed: int, numbers: np.ndarray, below: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return a stable order of small numbers, and where each starts, by the kernels."""
    rng = np.random.default_rng(seed)
    count = len(numbers)
    each = 256 * int(rng.integers(1, 3))
    blocks = -(-count // each)
    values = None
    for shift in range(0, max(1, (below - 1).bit_length()), 8):
        counts = GuardedArray((256, blocks), np.uint32, rng)
        size = (np.uint32(count), np.uint32(each), np.uint32(shift))
        shim.launch("digit_counts", (blocks,), (256,), numbers, *size, counts.array, seed=seed)
        total = np.uint32(256 * blocks)
        shim.launch("place_of_counts", (1,), (256,), counts.check(), total, seed=seed)
        out = GuardedArray(count, np.uint32, rng), GuardedArray(count, np.uint32, rng)
        shim.launch(
            *("move_by_digit", (blocks,), (256,), numbers, values, *size, counts.check()),
            *(out[0].array, out[1].array),
            seed=seed,
        )
        numbers, values = out[0].check(), out[1].check()
    offsets = GuardedArray(below + 1, np.uint32, rng)
    shim.launch(
        *("offsets_of_numbers", (-(-(count + 1) // 64),), (64,), numbers, np.uint32(count)),
        *(np.uint32(below), offsets.array),
        seed=seed,
    )
    assert values is not None
    return values, offsets.check()


def check_sort(shim: Shim | Overlaid, seed: int) -> None:
    rng = np.random.default_rng(seed)
    below = int(rng.choice([1, 5, 256, 257, 70000]))
    numbers = rng.integers(0, below, int(rng.integers(1, 1500))).astype(np.uint32)
    order, offsets = sort_by_number(shim, seed, noisy(numbers, rng), below)
    np.testing.assert_array_equal(order, np.argsort(numbers, kind="stable"))
    np.testing.assert_array_equal(offsets, np.searchsorted(np.sort(numbers), np.arange(below + 1)))


@settings(max_examples=12, deadline=None, derandomize=True)
@given(st.integers(0, 2**32))
def test_sorting_is_stable(shim: Shim, seed: int) -> None:
    check_sort(shim, seed)


FAULTS = {
    "no barrier between two tiles of centroids": (
        *(
            "nearest_f32.cu",
            "        __syncthreads();  // the last slice of the tile",
            "  // the tile",
        ),
    ),
    "the stages are written over too early": (
        *("nearest_f32.cu", "    __syncthreads();  // the stages have been read", ""),
    ),
    "ties go to the larger number": ("clusters.cu", "other.id < best.id", "other.id > best.id"),
    "what is not proven is not looked at": ("clusters.cu", "> 2.0f * margin[p]", ">= 0.0f"),
    "equal numbers change their order": (
        *("sort_pairs.cu", "((1u << lane_id()) - 1)", "~((2u << lane_id()) - 1)"),
    ),
    "a warp counts before the counts are empty": (
        *(
            "sort_pairs.cu",
            "= 0;\n        __syncthreads();\n        const u32 alike",
            "= 0;\n        const u32 alike",
        ),
    ),
}


def test_a_tie_is_a_tie() -> None:
    """The oracle itself: equal centroids have equal keys."""
    terms = np.random.default_rng(0).standard_normal((1, 50))
    assert (canonical(np.repeat(terms, 3, axis=0)) == canonical(terms)).all()


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_caught(shim: Shim, compiler: ShimCompiler, fault: str) -> None:
    file, old, new = FAULTS[fault]
    planted = Overlaid(compiler.planted(file, (old, new)), shim)

    def run(seed: int) -> None:
        if file == "sort_pairs.cu":
            check_sort(planted, seed)
        else:
            check(planted, seed, "f32", "l2")

    assert is_noticed(run, 20), "nobody noticed"
