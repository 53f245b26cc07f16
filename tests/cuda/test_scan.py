"""Exact search on the shim: the engine's own answers, bit for bit, for every kind of row."""

from __future__ import annotations

import nearfield as nf
import numpy as np
import pytest
from cuda.scan_pipeline import GROUP, MISSING, STORED, Scan
from cuda.shim_library import Overlaid, Shim, ShimCompiler, is_noticed
from cuda.test_group_maxima import by_groups
from hypothesis import given, settings
from hypothesis import strategies as st

TILES = ("q16", "q32")
CASES = [(stored, False) for stored in STORED] + [(t, True) for t in ("f32", "f16", "bf16")]


def pairwise(lanes: np.ndarray) -> np.ndarray:
    """Add 32 lanes in the engine's order."""
    while lanes.shape[-1] > 1:
        half = lanes.shape[-1] // 2
        lanes = lanes[..., :half] + lanes[..., half:]
    return lanes[..., 0]


def canonical(terms: np.ndarray) -> np.ndarray:
    """Add float64 terms in the engine's order: element k in lane k % 32, lanes pairwise."""
    padded = np.pad(terms, [(0, 0)] * (terms.ndim - 1) + [(0, -terms.shape[-1] % 32)])
    lanes = np.zeros((*terms.shape[:-1], 32))
    for first in range(0, padded.shape[-1], 32):
        lanes = lanes + padded[..., first : first + 32]
    return pairwise(lanes)


def values_of(rows: np.ndarray, stored: str) -> np.ndarray:
    """Return what stored rows mean."""
    wide = rows.astype(np.float32).astype(np.float64)
    return wide - 128 if stored == "e8" else wide


def keys_of(queries: np.ndarray, values: np.ndarray, metric: str) -> np.ndarray:
    """Return the definition of all scores, larger is better."""
    q = queries.astype(np.float64)[:, None]
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        if metric == "l2":
            return -canonical((q - values) ** 2)
        products = canonical(q * values)
        if metric == "ip":
            return products
        norms = np.sqrt(canonical(values * values))
        return np.where(norms > 0, products / norms, 0.0)


def sample(rng: np.random.Generator, stored: str, count: int, dim: int) -> np.ndarray:
    """Return rows: spread, clustered around few, of few values, or of very different lengths."""
    dtype = STORED[stored]
    if dtype in (np.uint8, np.int8):
        low = np.iinfo(dtype).min
        high = low + int(rng.choice([2, 256]))
        return rng.integers(low, high, (count, dim)).astype(dtype)
    kind = rng.integers(5)
    values = rng.standard_normal((count, dim))
    if kind == 1:
        values = values[rng.integers(0, 3, count)] + 1e-3 * values
    if kind == 2:
        values = rng.integers(-1, 2, (count, dim)).astype(np.float64)
    if kind == 3 and stored != "f16":
        values *= 10.0 ** rng.integers(-19, 18, (count, 1))
    if kind == 4:
        values[:, 0] *= 50
        values[rng.integers(0, count)] = 0
    return values.astype(dtype)


def check_margins(scan: Scan, queries: np.ndarray, values: np.ndarray) -> None:
    """Each group's maximum is as near to that of the exact scores as its margin says."""
    keys = keys_of(queries, values, "ip" if scan.metric == "l2" else scan.metric)
    masked = scan.mask is not None
    with np.errstate(over="ignore", invalid="ignore"):
        if scan.metric == "l2":
            keys = keys - (values**2).sum(axis=1) / 2
        keys = keys * scan.unit.astype(np.float64)[:, None]
        keys = by_groups(np.where(scan.mask != 0, keys, -np.inf) if masked else keys)
        assert not (np.abs(scan.maxima - keys) > scan.margin[:, None]).any()
        if masked:
            assert np.isneginf(scan.maxima[np.isneginf(keys)]).all()


def check(
    shim: Shim | Overlaid,
    seed: int,
    stored: str,
    as_bytes: bool,
    metric: str,
    capacity: int | None = None,
) -> Scan:
    """Search random rows and compare everything with the definition."""
    rng = np.random.default_rng(seed)
    count, dim, k = int(rng.integers(1, 400)), int(rng.integers(1, 70)), int(rng.integers(1, 50))
    rows = sample(rng, stored, count, dim)
    queries = rng.standard_normal((int(rng.integers(1, 5)), dim)).astype(np.float32)
    queries[-1] = values_of(rows[rng.integers(0, count)], stored).astype(np.float32)
    if rng.integers(2) == 0:  # exact in every type: what is left is the rows' rounding
        queries[0] = rng.choice([-1, 1], dim)
    if rng.integers(4) == 0:
        queries[0] *= np.float32(10.0 ** rng.integers(-12, 12))
    choice, mask = rng.integers(3), None
    if choice != 0:  # some may answer, or next to none
        mask = (rng.random(count) < (0.5 if choice == 1 else 3 / count)).astype(np.uint8)
    leaves_out_self = bool(rng.integers(2))
    scan = Scan(shim, rows, stored, metric, as_bytes, seed, mask, leaves_out_self)
    tile = "q16" if stored == "f32" and not as_bytes else TILES[seed % 2]
    capacity = capacity or int(rng.integers(1, -(-count // GROUP) + 1))
    found = scan.search(queries, k, tile, capacity)
    values = values_of(rows, stored)
    check_margins(scan, queries, values)
    keys = keys_of(queries, values, metric)
    for q in range(len(queries)):
        answers = np.ones(count, bool) if mask is None else mask != 0
        if leaves_out_self and q < count:
            answers[q] = False
        order = np.lexsort((np.arange(count), -keys[q]))
        order = order[answers[order]][:k]
        np.testing.assert_array_equal(found.labels[q, : len(order)], order)
        np.testing.assert_array_equal(found.keys[q, : len(order)], keys[q, order])
        assert (found.labels[q, len(order) :] == MISSING).all()
        assert np.isnan(found.scores[q, len(order) :]).all()
    return scan


@pytest.mark.parametrize("metric", ["ip", "l2", "cosine"])
@pytest.mark.parametrize(("stored", "as_bytes"), CASES)
def test_any_rows(shim: Shim, stored: str, as_bytes: bool, metric: str) -> None:
    @settings(max_examples=5, deadline=None, derandomize=True)
    @given(st.integers(0, 2**32))
    def run(seed: int) -> None:
        check(shim, seed, stored, as_bytes, metric)

    run()


@pytest.mark.parametrize("as_bytes", [False, True])
@pytest.mark.parametrize("metric", ["ip", "l2", "cosine"])
def test_the_engine_says_the_same(shim: Shim, metric: str, as_bytes: bool) -> None:
    rng = np.random.default_rng(3)
    rows = rng.standard_normal((3000, 48)).astype(np.float32)
    rows[1500:] = rows[:1500]  # every row twice: ties
    queries = rng.standard_normal((6, 48)).astype(np.float32)
    found = Scan(shim, rows, "f32", metric, as_bytes).search(queries, 20, "q16", 60)
    assert (found.groups < 60).all(), "nothing was excluded"
    wanted = nf.topk(queries, rows, k=20, metric=metric)
    np.testing.assert_array_equal(found.labels, wanted.ids)
    np.testing.assert_array_equal(found.scores, wanted.scores)


def test_codes_are_the_engines(shim: Shim) -> None:
    """cpp/quant/raw: round(x / step) + 128, step = max |x| / 127."""
    rows = sample(np.random.default_rng(1), "f32", 200, 37)
    rows[7] = 0
    scan = Scan(shim, rows, "f32", "ip", as_bytes=True)
    step = np.maximum(np.abs(rows).max(axis=1).astype(np.float64) / 127, 2.0**-100)[:, None]
    codes = np.clip(np.rint(rows * (1 / step).astype(np.float32)), -127, 127) + 128
    np.testing.assert_array_equal(scan.codes.array[:, :37], codes)
    assert (scan.codes.array[:, 37:] == 128).all()
    np.testing.assert_array_equal(scan.scale.array, step[:, 0].astype(np.float32))
    off = np.linalg.norm(rows - step * (codes - 128), axis=1)
    assert off.max() <= scan.limits[1] <= off.max() * 1.001
    assert scan.limits[0] >= np.linalg.norm(rows.astype(np.float64), axis=1).max()


def is_wrong(
    shim: Shim | Overlaid, stored: str, as_bytes: bool, metric: str, seeds: int = 25
) -> bool:
    return is_noticed(lambda seed: check(shim, seed, stored, as_bytes, metric), seeds)


BYTES, HALVES, COSINE = ("f32", True, "ip"), ("bf16", False, "ip"), ("f32", False, "cosine")
FAULTS = {
    "groups within the margin are left out": (
        *("rescore.cu", BYTES, " - 2.0f * margin, lowest", ", lowest"),
    ),
    "what rounding a query left is forgotten": (
        *("prepare_queries.cu", HALVES),
        *("query.residual * row + (query.norm + query.residual) * row_residual", "0.0"),
    ),
    "what rounding a row left is forgotten": (
        *("prepare_queries.cu", BYTES, "(query.norm + query.residual) * row_residual", "0.0"),
    ),
    "a row past the last is scored": (
        "rescore.cu",
        BYTES,
        "row < span.last ?",
        "row <= span.last ?",
    ),
    "a row that may not answer is scored": ("rescore.cu", BYTES, "|| mask[row] != 0", "|| true"),
    "a query gets its own row": ("rescore.cu", BYTES, "row != but && ", ""),
    "groups that are masked are counted": (
        *("answering.cu", BYTES, "mask[row] != 0 ? plain", "true ? plain"),
    ),
    "the last place of a list is left as it was": (
        *("rescore.cu", BYTES, "place < capacity) list", "place + 1 < capacity) list"),
    ),
    "float64 sums in another order": (
        *(
            "rescore.cu",
            COSINE,
            "i32 step = 16; step > 0; step /= 2) x",
            "i32 step = 1; step < 32; step *= 2) x",
        ),
    ),
    "lengths are left out": ("row_constants.cu", COSINE, "norm > 0.0 ? step / norm : 0.0", "1.0"),
}


def test_a_search_without_a_fault_passes(shim: Shim) -> None:
    for case in (BYTES, HALVES, COSINE):
        assert not is_wrong(shim, *case, seeds=6)


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_caught(shim: Shim, compiler: ShimCompiler, fault: str) -> None:
    file, case, old, new = FAULTS[fault]
    assert is_wrong(Overlaid(compiler.planted(file, (old, new)), shim), *case), "nobody noticed"
