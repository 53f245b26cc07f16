"""Bounds from bytes on the shim: no score is above its row's, and a search by them is exact."""

from __future__ import annotations

import numpy as np
import pytest
from cuda.scan_pipeline import METRICS, MISSING, Found, Scan
from cuda.shim_library import GuardedArray, Overlaid, Shim, ShimCompiler, is_noticed
from cuda.test_group_maxima import GROUP, TILES
from cuda.test_scan import keys_of, sample
from hypothesis import given, settings
from hypothesis import strategies as st

FLOATS = ("f32", "f16", "bf16")
KERNELS = ("q128", "q32", "q16")


class ByteScan(Scan):
    """A search as cuda/search/byte_pass.cpp launches it."""

    def __post_init__(self) -> None:
        self.as_bytes, mask, self.mask = True, self.mask, None
        super().__post_init__()
        count, dim = self.rows.shape
        size, off = (GuardedArray(count, np.float32, self.rng) for _ in range(2))
        bias = self.bias.array if self.metric == "l2" else None
        self.shim.launch(
            *(f"row_bounds_{self.stored}", (-(-count // 2),), (64,), self.rows, np.uint64(dim)),
            *(np.uint32(count), np.uint32(dim), np.uint32(METRICS[self.metric])),
            *(self.codes.array, np.uint64(self.codes.array.shape[1]), self.norms.array),
            *(self.scale.array, bias, size.array, off.array),
            seed=self.seed,
        )
        self.size, self.off, self.mask = size.check(), off.check(), mask
        self.scale.check(), self.bias.check()
        self.constants = {"bias": bias if mask is None else self._masked(bias)}

    def bounds(self, queries: np.ndarray, tile: str) -> np.ndarray:
        """Return the largest bound of every group; what it is made of is kept."""
        count, dim = queries.shape
        stride = self.codes.array.shape[1]
        codes = GuardedArray((count, stride), np.int8, self.rng)
        self.unit, margin, self.reach, self.lost = (
            GuardedArray(count, np.float32, self.rng).array for _ in range(4)
        )
        self.query_norms = GuardedArray(count, np.float64, self.rng).array
        init = GuardedArray(count, np.int32, self.rng).array
        sizes = (np.uint64(dim), np.uint32(count), np.uint32(dim))
        metric = np.uint32(METRICS[self.metric])
        grid = (-(-count // 2),), (64,)
        self.shim.launch(
            *("prepare_queries_i8", *grid, queries, *sizes, metric, self.limits),
            *(codes.array, np.uint64(stride), self.unit, margin, self.query_norms),
            *(np.int32(128), init),
            seed=self.seed,
        )
        self.shim.launch(
            *("query_bounds", *grid, queries, *sizes, metric),
            *(codes.check(), np.uint64(stride), self.unit, self.reach, self.lost),
            seed=self.seed,
        )
        maxima = GuardedArray((count, -(-len(self.rows) // GROUP)), np.float32, self.rng)
        qm, rn = TILES[tile]
        self.shim.launch(
            *(f"bound_maxima_u8_{tile}", (-(-count // qm) * -(-len(self.rows) // rn),), (256,)),
            *(codes.array, np.uint64(stride), np.uint32(count)),
            *(self.codes.array, np.uint64(stride), np.uint32(len(self.rows)), np.uint32(dim)),
            *(self.scale.array, self.constants["bias"], self.size, self.off),
            *(self.unit, self.reach, self.lost, init),
            *(maxima.array, np.uint64(maxima.array.shape[1])),
            shared=240 * (qm + rn),
            seed=self.seed,
        )
        return maxima.check()

    def floors(self, keys: np.ndarray, of: np.ndarray) -> np.ndarray:
        """Return what bounds reach of rows with the last of keys, or better; of: the queries."""
        out = GuardedArray(len(of), np.float32, self.rng)
        self.shim.launch(
            *("floors_of_keys", (-(-len(of) // 64),), (64,), np.ascontiguousarray(keys)),
            *(np.uint32(keys.shape[1]), np.uint32(METRICS[self.metric])),
            *(self.unit[of], self.query_norms[of], np.uint32(len(of)), out.array),
            seed=self.seed,
        )
        return out.check()

    def search(self, queries: np.ndarray, k: int, tile: str, capacity: int) -> Found:
        """Return the k best; queries whose second list is cut take all groups."""
        count = len(queries)
        maxima = self.bounds(queries, tile)
        groups = maxima.shape[1]
        own, wanted = np.arange(count), min(k + self.leaves_out_self, groups)
        best = -np.sort(-maxima, axis=1)[:, :wanted]
        no_margin = np.zeros(count, np.float32)
        first = self._last_pass(queries, k, (maxima, best, no_margin, own), capacity)
        second = (maxima, self.floors(first[0], own)[:, None], no_margin, own)
        keys, ids, found = self._last_pass(queries, k, second, capacity)
        for q in np.flatnonzero(found > capacity):
            one = slice(q, q + 1)
            again = tuple(part[one] for part in second)
            keys[one], ids[one], _ = self._last_pass(queries[one], k, again, groups)
        labels = np.where(ids == np.uint32(2**32 - 1), MISSING, ids.astype(np.int64))
        return Found(labels, keys, keys, found)


def adversaries(
    rng: np.random.Generator, stored: str, count: int, dim: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return rows and queries: what rounding leaves of one points along the other."""
    rows = sample(rng, stored, count, dim)
    kind = rng.integers(5)
    if kind == 0:
        rows[:, rng.integers(dim)] *= np.array(3e3).astype(rows.dtype)  # an outlying dimension
    if kind == 1 and stored != "f16":
        rows[rng.integers(count)] *= np.array(1e30).astype(rows.dtype)
    if kind == 2:
        tiny = np.finfo(np.float16 if stored == "f16" else np.float32).smallest_subnormal
        rows[: count // 2] = rng.integers(-9, 9, (count // 2, dim)) * float(tiny)
    if kind == 3:
        rows[rng.integers(0, count, 2)] = 0
    queries = rng.standard_normal((6, dim)).astype(np.float32)
    share = np.abs(queries[1]).max() / 127
    rows[0] = (queries[1] / share - np.rint(queries[1] / share)).astype(rows.dtype)
    wide = rows[-1].astype(np.float64)
    step = max(np.abs(wide).max() / 127, 2.0**-100)
    left = wide - step * np.rint(wide / step)
    queries[2] = left / max(np.abs(left).max(), 1e-300) * rng.choice([-1, 1])
    queries[3] = rng.choice([-1, 1], dim)
    with np.errstate(over="ignore"):
        queries[4] = np.nan_to_num(rows[count // 2].astype(np.float32), posinf=1, neginf=1)
    queries[5] *= np.float32(10.0 ** rng.integers(-30, 30)) * (kind != 4)
    return np.where(np.isfinite(rows.astype(np.float32)), rows, 0).astype(rows.dtype), queries


def check_bounds(shim: Shim | Overlaid, seed: int, stored: str, metric: str, tile: str) -> None:
    """A group is one row, over and over, so that its maximum is the row's bound."""
    rng = np.random.default_rng(seed)
    dim = int(rng.integers(1, 70))
    rows, queries = adversaries(rng, stored, int(rng.integers(3, 12)), dim)
    copies = np.repeat(rows, GROUP, axis=0)[: len(rows) * GROUP - int(rng.integers(GROUP))]
    scan = ByteScan(shim, copies, stored, metric, seed=seed)
    bounds = scan.bounds(queries, tile)
    values = rows.astype(np.float32).astype(np.float64)
    keys = keys_of(queries, values, metric)
    each = np.repeat(np.arange(len(queries)), len(rows))
    floors = scan.floors(keys.reshape(-1, 1), each).reshape(keys.shape)
    assert not np.isnan(bounds).any()
    assert not (floors > bounds).any(), "a row may score more than its bound"
    # Not above what the errors are worth, and what float32 loses: or nothing would be left out.
    unit, norms = scan.unit.astype(np.float64)[:, None], np.sqrt((values**2).sum(axis=1))
    size, off = (part[::GROUP].astype(np.float64) for part in (scan.size, scan.off))
    with np.errstate(over="ignore", invalid="ignore"):
        scores = keys * unit
        if metric == "l2":
            scores = unit * (queries.astype(np.float64) @ values.T - norms**2 / 2)
        errors = scan.reach[:, None] * off + scan.lost[:, None].astype(np.float64) * size
        bulk = scan.reach[:, None] * (size + off) + unit * (norms**2 if metric == "l2" else 0)
        assert not (bounds > scores + 2 * errors + 4e-6 * bulk + 1e-30).any()
    worst = 0.501 * np.sqrt(dim) * scan.scale.array[::GROUP] + 2e-6 * size + 1e-29
    assert ((off <= worst) | np.isinf(off)).all(), "half a step an element"
    ordinary = (norms > 1e-20) & (norms < 1e12)
    assert np.isfinite(bounds[:4, ordinary]).all()


def check_search(shim: Shim | Overlaid, seed: int, stored: str, metric: str) -> None:
    """Search with any mask and any capacity of lists, and compare with the definition."""
    rng = np.random.default_rng(seed)
    count, dim, k = int(rng.integers(3, 400)), int(rng.integers(1, 60)), int(rng.integers(1, 40))
    rows, queries = adversaries(rng, stored, count, dim)
    if rng.integers(2):
        rows = rows[rng.integers(0, min(count, 20), count)]  # ties, all over
    mask = None
    if rng.integers(2):
        mask = (rng.random(count) < rng.choice([0.5, 3 / count])).astype(np.uint8)
    alone = bool(rng.integers(2))
    scan = ByteScan(shim, rows, stored, metric, False, seed, mask, alone)
    groups = -(-count // GROUP)
    found = scan.search(queries, k, KERNELS[1 + seed % 2], int(rng.integers(1, groups + 1)))
    keys = keys_of(queries, rows.astype(np.float32).astype(np.float64), metric)
    for q in range(len(queries)):
        answers = np.ones(count, bool) if mask is None else mask != 0
        if alone and q < count:
            answers[q] = False
        order = np.lexsort((np.arange(count), -keys[q]))
        order = order[answers[order]][:k]
        np.testing.assert_array_equal(found.labels[q, : len(order)], order)
        np.testing.assert_array_equal(found.keys[q, : len(order)], keys[q, order])
        assert (found.labels[q, len(order) :] == MISSING).all()


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("stored", FLOATS)
def test_no_score_is_above_its_bound(shim: Shim, stored: str, metric: str) -> None:
    @settings(max_examples=12, deadline=None, derandomize=True)
    @given(st.integers(0, 2**32), st.sampled_from(KERNELS[1:]))
    def run(seed: int, tile: str) -> None:
        check_bounds(shim, seed, stored, metric, tile)

    run()


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("stored", FLOATS)
def test_a_search_is_exact(shim: Shim, stored: str, metric: str) -> None:
    @settings(max_examples=5, deadline=None, derandomize=True)
    @given(st.integers(0, 2**32))
    def run(seed: int) -> None:
        check_search(shim, seed, stored, metric)

    run()


def test_few_groups_are_scored(shim: Shim) -> None:
    """Of 200 groups, with an outlying row that only its own group pays for."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((6400, 64)).astype(np.float32)
    rows[99] *= np.float32(1e30)
    queries = rng.standard_normal((4, 64)).astype(np.float32)
    for metric in METRICS:
        found = ByteScan(shim, rows, "f32", metric).search(queries, 5, "q16", 200)
        assert (found.groups < 70).all()


BOUNDS, L2 = "byte_bounds.cu", "l2"
FAULTS = {
    "what rounding a row left is forgotten": (BOUNDS, "ip", "residual * kMore + 0x1p-100", "1e-20"),
    "what rounding a query left is forgotten": (BOUNDS, "ip", "rest * kMore + ", ""),
    "lengths are left out": (BOUNDS, "ip", "__double2float_ru(measure)", "0.0f"),
    "float32 loses nothing": (BOUNDS, L2, "(1.0 - 0x1p-20)", "(1.0 + 0x1p-20)"),
    "any row has a bound": (BOUNDS, L2, "bounded = is_bounded(norm, metric) &&", "bounded ="),
    "codes have no excess": (BOUNDS, "cosine", "code[k]) - 128", "code[k]) - 127"),
    "a row past the last counts": (
        *("bound_maxima_u8.cu", L2, "if (row >= rows) return -infinity();", ""),
    ),
}
SEARCH_FAULTS = {
    "the floor is the first key, not the k-th": (BOUNDS, "* k + k - 1]", "* k]"),
    "the floor is above the k-th key": (BOUNDS, "(lost - floor)", "(-floor - 0.01 * fabs(floor))"),
    "fewer rows than k have a floor": (BOUNDS, "is_there ? -", "true ? 1.0f -"),
    "the last place of a list is left as it was": (
        *("rescore.cu", "place < capacity) list", "place + 1 < capacity) list"),
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_caught(shim: Shim, compiler: ShimCompiler, fault: str) -> None:
    file, metric, *change = FAULTS[fault]
    planted = Overlaid(compiler.planted(file, tuple(change)), shim)
    assert is_noticed(lambda seed: check_bounds(planted, seed, "f32", metric, "q16"), 30), (
        "not seen"
    )


@pytest.mark.parametrize("fault", SEARCH_FAULTS)
def test_planted_faults_of_a_search_are_caught(
    shim: Shim, compiler: ShimCompiler, fault: str
) -> None:
    file, *change = SEARCH_FAULTS[fault]
    planted = Overlaid(compiler.planted(file, tuple(change)), shim)
    assert is_noticed(lambda seed: check_search(planted, seed, "f32", "ip"), 25), "nobody noticed"
