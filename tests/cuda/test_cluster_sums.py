"""Sums of clusters on the shim, bit for bit; lengths, keys, copies and labels of points."""

from __future__ import annotations

import ml_dtypes
import nearfield as nf
import numpy as np
import pytest
from cuda.shim_library import GuardedArray, Overlaid, Shim, ShimCompiler, is_noticed, noisy
from cuda.test_clusters import DTYPES, sort_by_number
from cuda.test_scan import keys_of

SEGMENT = 7  # rows added at a time; the engine's are more


def by_segments(rows: np.ndarray) -> np.ndarray:
    """Return sums of segments of rows, each from zero, in order."""
    starts = range(0, len(rows), SEGMENT)
    return np.array([np.add.accumulate(rows[s : s + SEGMENT])[-1] for s in starts])


def add(
    shim: Shim | Overlaid,
    seed: int,
    points: np.ndarray,
    listed: tuple[np.ndarray, np.ndarray],
    sign: float,
    sums: np.ndarray,
    sizes: np.ndarray,
) -> None:
    """Add the points that are listed to the sums, or subtract them, by the kernels."""
    rng = np.random.default_rng(seed)
    order, offsets = listed
    (clusters, dim), count = sums.shape, len(points)
    name = next(name for name, dtype in DTYPES.items() if points.dtype == dtype)
    partial = GuardedArray((count // SEGMENT + clusters, dim), np.float64, rng)
    parts = -(-dim // 32)
    shim.launch(
        *(f"segment_sums_{name}", (clusters, parts, int(rng.integers(1, 4))), (32,)),
        *(points, np.uint64(dim), np.uint32(dim), order, offsets, np.uint32(SEGMENT)),
        partial.array,
        seed=seed,
    )
    shim.launch(
        *("add_segments", (clusters, parts), (32,), partial.check(), offsets),
        *(np.uint32(SEGMENT), np.uint32(dim), np.float64(sign), sums, sizes),
        seed=seed,
    )


def check_sums(shim: Shim | Overlaid, seed: int, name: str = "f32") -> None:
    """All points are added, some of them move; the sums are those of the definition."""
    rng = np.random.default_rng(seed)
    count, clusters, dim = (
        int(rng.integers(1, 90)),
        int(rng.integers(1, 6)),
        int(rng.integers(1, 50)),
    )
    points = noisy(rng.standard_normal((count, dim)).astype(DTYPES[name]), rng)
    wide = points.astype(np.float64)
    before = rng.integers(0, clusters, count).astype(np.uint32)
    now = np.where(rng.random(count) < 0.2, rng.integers(0, clusters, count), before)
    now = now.astype(np.uint32)
    sums = GuardedArray((clusters, dim), np.float64, rng)
    sizes = GuardedArray(clusters, np.uint32, rng)
    sums.array[...], sizes.array[...] = 0, 0
    add(
        shim,
        seed,
        points,
        sort_by_number(shim, seed, before, clusters + 1),
        1,
        sums.array,
        sizes.array,
    )
    moved = np.zeros(1, np.uint32)
    lists = GuardedArray(count, np.uint32, rng), GuardedArray(count, np.uint32, rng)
    shim.launch(
        *("mark_moved", (-(-count // 64),), (64,), noisy(before, rng), noisy(now, rng)),
        *(np.uint32(count), np.uint32(clusters), lists[0].array, lists[1].array, moved),
        seed=seed,
    )
    assert moved[0] == (before != now).sum()
    for part, sign in zip(lists, (-1, 1), strict=True):
        listed = sort_by_number(shim, seed, part.check(), clusters + 1)
        add(shim, seed, points, listed, sign, sums.array, sizes.array)
    expected = np.zeros((clusters, dim))
    for c in range(clusters):
        for chosen, sign in (
            (before == c, 1),
            ((before == c) & (now != c), -1),
            ((now == c) & (before != c), 1),
        ):
            if chosen.any():
                for part in by_segments(wide[chosen]):
                    expected[c] += sign * part
    np.testing.assert_array_equal(sums.check(), expected)
    np.testing.assert_array_equal(sizes.check(), np.bincount(now, minlength=clusters))


@pytest.mark.parametrize("name", DTYPES)
def test_sums(shim: Shim, name: str) -> None:
    for seed in range(6):
        check_sums(shim, seed, name)


@pytest.mark.parametrize("spherical", [False, True])
def test_means(shim: Shim, spherical: bool) -> None:
    rng = np.random.default_rng(3)
    sums = rng.standard_normal((40, 9)) * 100
    sums[3] = 0
    sizes = rng.integers(1, 50, 40).astype(np.uint32)
    sizes[5], sums[5] = 0, 0
    old = rng.standard_normal((40, 9)).astype(np.float32)
    means, share = GuardedArray((40, 9), np.float32, rng), GuardedArray(40, np.float64, rng)
    shim.launch(
        *("means_of_sums", (2,), (32,), sums, sizes, old, np.uint32(40), np.uint32(9)),
        *(np.uint32(spherical), means.array, share.array),
        seed=1,
    )
    length = np.sqrt(np.add.accumulate(sums * sums, axis=1)[:, -1])
    scale = length if spherical else sizes.astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        expected = np.where(
            ((sizes > 0) & (scale > 0))[:, None], sums / scale[:, None], old
        ).astype(np.float32)
    np.testing.assert_array_equal(means.check(), expected)
    wide = old.astype(np.float64)
    square = np.add.accumulate(wide * wide, axis=1)[:, -1]
    product = np.add.accumulate(sums * wide, axis=1)[:, -1]
    np.testing.assert_array_equal(share.check(), sizes * square - 2 * product)


def check_points(shim: Shim | Overlaid, seed: int, name: str = "f32") -> None:
    rng = np.random.default_rng(seed)
    count, dim, k = int(rng.integers(1, 70)), int(rng.integers(1, 70)), 5
    points = rng.standard_normal((count, dim)).astype(DTYPES[name])
    points[rng.integers(0, count)] *= ml_dtypes.bfloat16(2.0**14)
    bad = rng.random(count) < 0.3
    wide = points.astype(np.float64)
    points = noisy(points, rng)
    centroids = rng.standard_normal((k, dim)).astype(np.float32)
    nearest = rng.integers(0, k, count).astype(np.uint32)
    warps, sizes = (-(-count // 2),), (np.uint64(dim), np.uint32(count))
    squared, keys = GuardedArray(count, np.float64, rng), GuardedArray(count, np.float64, rng)
    shim.launch(
        *(f"squared_norms_{name}", warps, (64,), points, *sizes, np.uint32(dim), squared.array),
        seed=seed,
    )
    zero = np.zeros((1, dim))
    np.testing.assert_array_equal(squared.check(), -keys_of(points, zero, "l2")[:, 0])
    for metric, number in (("ip", 0), ("l2", 1)):
        shim.launch(
            *(f"keys_of_nearest_{name}", warps, (64,), points, *sizes, centroids),
            *(np.uint32(dim), np.uint32(number), nearest, keys.array),
            seed=seed,
        )
        expected = keys_of(points, centroids.astype(np.float64), metric)
        np.testing.assert_array_equal(keys.check(), expected[np.arange(count), nearest])
    ids = rng.integers(0, count, 2 * count).astype(np.uint32)
    out = GuardedArray((2 * count, dim), points.dtype, rng)
    shim.launch(
        *(f"gather_rows_{name}", (count,), (64,), points, np.uint64(dim), ids),
        *(np.uint32(2 * count), np.uint32(dim), out.array),
        seed=seed,
    )
    np.testing.assert_array_equal(out.check().astype(np.float64), wide[ids])
    points[bad, rng.integers(0, dim)] = [np.nan, np.inf][seed % 2]
    margin = np.full(count, np.inf, np.float32)
    margin[~bad & (rng.random(count) < 0.5)] = 1
    labels = GuardedArray(count, np.int64, rng)
    shim.launch(
        *(f"labels_of_nearest_{name}", (-(-count // 32),), (32,), points, *sizes),
        *(np.uint32(dim), margin, nearest, labels.array),
        seed=seed,
    )
    np.testing.assert_array_equal(
        labels.check(), np.where(bad, nf.MISSING, nearest.astype(np.int64))
    )


@pytest.mark.parametrize("name", DTYPES)
def test_points(shim: Shim, name: str) -> None:
    for seed in range(6):
        check_points(shim, seed, name)


FAULTS = {
    "segments of two clusters share a place": (
        *("cluster_sums.cu", "return offset / segment + c;", "return offset / segment;"),
    ),
    "the last rows of a list are left out": (
        *("cluster_sums.cu", "(end - begin + segment - 1) / segment", "(end - begin) / segment"),
    ),
    "a segment goes on into the next": (
        *("cluster_sums.cu", "min(end - first, segment) + first", "end"),
    ),
    "what leaves is counted as what comes": ("cluster_sums.cu", "0u - size : size", "size : size"),
    "a point that moved is listed where it went only": (
        *("cluster_sums.cu", "has_moved ? before[p] : clusters", "clusters"),
    ),
    "infinity counts as finite": ("cluster_rows.cu", "x - x == 0.0f", "x == x"),
    "rows are gathered without their numbers": ("cluster_rows.cu", "ids[i] * stride", "i * stride"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_caught(shim: Shim, compiler: ShimCompiler, fault: str) -> None:
    file, old, new = FAULTS[fault]
    planted = Overlaid(compiler.planted(file, (old, new)), shim)
    check = check_sums if file == "cluster_sums.cu" else check_points
    assert is_noticed(lambda seed: check(planted, seed), 12), "nobody noticed"
