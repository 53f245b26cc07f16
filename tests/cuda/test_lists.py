"""IVF by lists on the shim: the best of the probed rows, whatever lists, probes and schedules."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from cuda.scan_pipeline import METRICS
from cuda.shim_library import GuardedArray, Overlaid, Shim, ShimCompiler, is_noticed, noisy
from cuda.test_clusters import sort_by_number
from cuda.test_scan import keys_of
from hypothesis import given, settings
from hypothesis import strategies as st

STORED = {
    "f32": np.float32,
    "f16": np.float16,
    "bf16": ml_dtypes.bfloat16,
    "f32 by bytes": np.float32,
}
NOTHING = 0xFFFFFFFF


class Lists:
    """Rows in the order of their lists, prepared as the kernels need them."""

    def __init__(
        self,
        shim: Shim | Overlaid,
        seed: int,
        stored: str,
        metric: str,
        rows: np.ndarray,
        of: np.ndarray,
        lists: int,
        answers: np.ndarray | None = None,
    ) -> None:
        self.shim, self.seed, self.rng = shim, seed, np.random.default_rng(seed)
        self.kind, self.by_bytes = stored.split()[0], "bytes" in stored
        self.metric = np.uint32(METRICS[metric])
        order = np.argsort(of, kind="stable").astype(np.uint32)
        self.labels, self.rows = noisy(order, self.rng), noisy(rows[order], self.rng)
        self.offsets = np.searchsorted(of[order], np.arange(lists + 1)).astype(np.uint32)
        count, dim = rows.shape
        self.norms = GuardedArray(count, np.float64, self.rng)
        scale = GuardedArray(count, np.float32, self.rng)
        bias = GuardedArray(count, np.float32, self.rng)
        self.scale = scale.array if self.by_bytes or metric == "cosine" else None
        self.bias = bias.array if metric == "l2" else None
        self.limits = np.zeros(2, np.float32)
        codes = GuardedArray((count, dim + 5), np.uint8, self.rng)
        self.scanned = codes.array if self.by_bytes else self.rows
        shim.launch(
            f"{'encode_rows' if self.by_bytes else 'row_constants'}_{self.kind}",
            *((-(-count // 2),), (64,), self.rows, np.uint64(dim), np.uint32(count)),
            *(np.uint32(dim), self.metric),
            *((codes.array, np.uint64(dim + 5)) if self.by_bytes else ()),
            *(self.norms.array, self.scale, self.bias, self.limits),
            seed=seed,
        )
        if answers is not None:
            self.leave_out(~answers[order])

    def leave_out(self, rows: np.ndarray) -> None:
        """Take the names of some rows, and give them the lowest bias."""
        self.labels[rows] = NOTHING
        if self.bias is None:
            self.bias = np.zeros(len(rows), np.float32)
        self.bias[rows] = -np.inf

    def new(self, shape: tuple[int, ...] | int, dtype: type) -> GuardedArray:
        return GuardedArray(shape, dtype, self.rng)

    def maxima(
        self, queries: np.ndarray, probes: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return maxima, margins, places and groups of every query."""
        (count, dim), (_, nprobe), lists = queries.shape, probes.shape, len(self.offsets) - 1
        prepared = self.new((count, dim), np.int8 if self.by_bytes else self.rows.dtype)
        unit, margin = self.new(count, np.float32), self.new(count, np.float32)
        norms, init = self.new(count, np.float64), self.new(count, np.int32)
        self.shim.launch(
            f"prepare_queries_{'i8' if self.by_bytes else self.kind}",
            *((-(-count // 2),), (64,), queries, np.uint64(dim), np.uint32(count)),
            *(np.uint32(dim), self.metric, self.limits, prepared.array, np.uint64(dim)),
            *(unit.array, margin.array, norms.array),
            *((np.int32(128), init.array) if self.by_bytes else ()),
            seed=self.seed,
        )
        places, groups = self.new((count, nprobe + 1), np.uint32), self.new(count, np.uint32)
        self.shim.launch(
            *("place_probes", (-(-count // 32),), (32,), probes, np.uint32(count)),
            *(np.uint32(nprobe), self.offsets, places.array, groups.array),
            seed=self.seed,
        )
        pairs, first = sort_by_number(self.shim, self.seed, probes.reshape(-1), lists)
        tile = (64, 128) if self.kind == "f32" and not self.by_bytes else (32, 256)
        items = self.new(lists + 1, np.uint32)
        sizes = (np.uint32(lists), *map(np.uint32, tile))
        self.shim.launch(
            *("count_items", (lists // 32 + 1,), (32,), self.offsets, first, *sizes, items.array),
            seed=self.seed,
        )
        total = np.uint32(lists + 1)
        self.shim.launch("place_of_counts", (1,), (256,), items.check(), total, seed=self.seed)
        stride = max(1, int(groups.check().max()))
        maxima = self.new((count, stride), np.float32)
        name = "u8" if self.by_bytes else self.kind
        self.shim.launch(
            *(f"list_maxima_{name}_q{tile[0]}", (3,), (256,), prepared.array),
            *(np.uint64(prepared.array.strides[0]), np.uint32(count), self.scanned),
            *(np.uint64(self.scanned.strides[0]), np.uint32(len(self.rows))),
            *(np.uint32(dim * self.scanned.dtype.itemsize), self.scale, self.bias, unit.array),
            *(init.array if self.by_bytes else None, self.offsets, items.check(), pairs, first),
            *(places.check(), np.uint32(lists), np.uint32(nprobe), maxima.array, np.uint64(stride)),
            shared=240 * sum(tile),
            seed=self.seed,
        )
        return maxima.check(), margin.check(), places.array, groups.array

    def search(
        self, queries: np.ndarray, probes: np.ndarray, k: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return keys and labels of the k best, and how many groups were scored."""
        maxima, margin, places, groups = self.maxima(queries, probes)
        (count, dim), stride = queries.shape, maxima.shape[1]
        best, ids = self.new((count, k), np.float32), self.new((count, k), np.uint32)
        self.shim.launch(
            *("select_k_radix_f32", (count,), (64,), maxima, None, np.uint64(stride), groups),
            *(np.uint32(stride), np.uint32(0), np.uint32(k), None, best.array, ids.array),
            shared=8 * k,
            seed=self.seed,
        )
        lists, counts = self.new((count, stride), np.uint32), np.zeros(count, np.uint32)
        capacity = np.uint32(stride)
        self.shim.launch(
            *("collect_list_groups", (count,), (64,), maxima, np.uint64(stride), groups),
            *(best.check(), np.uint32(k), margin, capacity, lists.array, counts),
            seed=self.seed,
        )
        keys = self.new((count, stride * 32), np.float64)
        ids, pairs = self.new((count, stride * 32), np.uint32), self.new(count, np.uint32)
        self.shim.launch(
            *(f"rescore_lists_{self.kind}", (count, 2), (64,), queries, np.uint64(dim)),
            *(self.rows, np.uint64(dim), np.uint32(dim), self.metric, self.norms.array, probes),
            *(places, np.uint32(probes.shape[1]), self.offsets, self.labels, lists.check()),
            *(counts, capacity, keys.array, ids.array, pairs.array),
            seed=self.seed,
        )
        found = self.new((count, k), np.float64), self.new((count, k), np.uint32)
        self.shim.launch(
            *("select_k_radix_f64", (count,), (64,), keys.check(), ids.check()),
            *(np.uint64(stride * 32), pairs.check(), np.uint32(stride * 32), np.uint32(0)),
            *(np.uint32(k), None, found[0].array, found[1].array),
            shared=16 * k,
            seed=self.seed,
        )
        return found[0].check(), found[1].check(), counts


def check(shim: Shim | Overlaid, seed: int, stored: str, metric: str) -> None:
    rng = np.random.default_rng(seed)
    count, dim, lists = (
        int(rng.integers(1, 500)),
        int(rng.integers(1, 40)),
        int(rng.integers(1, 12)),
    )
    nprobe, k = int(rng.integers(1, lists + 1)), int(rng.integers(1, 30))
    rows = rng.standard_normal((count, dim))
    rows[count // 2 :] = rows[: count - count // 2]
    rows = rows.astype(STORED[stored])
    of = np.minimum(rng.geometric(0.4, count) - 1, lists - 1)  # skewed, some lists empty
    queries = rng.standard_normal((int(rng.integers(1, 40)), dim)).astype(np.float32)
    probes = np.stack([rng.choice(lists, nprobe, replace=False) for _ in queries]).astype(np.uint32)
    answers = rng.random(count) < rng.choice([0.02, 0.5]) if rng.integers(2) else None
    prepared = Lists(shim, seed, stored, metric, rows, of, lists, answers)
    found = prepared.search(queries, probes, k)
    keys = keys_of(queries, rows.astype(np.float32).astype(np.float64), metric)
    for q in range(len(queries)):
        is_wanted = np.isin(of, probes[q]) & (True if answers is None else answers)
        probed = np.flatnonzero(is_wanted)
        order = probed[np.lexsort((probed, -keys[q, probed]))][:k]
        np.testing.assert_array_equal(found[1][q, : len(order)], order)
        np.testing.assert_array_equal(found[0][q, : len(order)], keys[q, order])
        assert (found[1][q, len(order) :] == NOTHING).all()


@pytest.mark.parametrize("metric", ["ip", "l2", "cosine"])
@pytest.mark.parametrize("stored", STORED)
def test_probed_rows(shim: Shim, stored: str, metric: str) -> None:
    @settings(max_examples=4, deadline=None, derandomize=True)
    @given(st.integers(0, 2**32))
    def run(seed: int) -> None:
        check(shim, seed, stored, metric)

    run()


FAULTS = {
    "no barrier between two items": (
        *(
            "list_maxima_floats.cu",
            "        __syncthreads();  // the last slice of the item",
            "  // the item",
        ),
    ),
    "rows of the next list count": (
        *(
            "list_maxima_floats.cu",
            "end, rows.depth};\n    Scoring scoring = all;\n    scoring.rows = end;",
        ),
        "rows.count, rows.depth};\n    Scoring scoring = all;",
    ),
    "a list's last pairs are left out": ("probes.cu", "(pairs + qm - 1) / qm", "pairs / qm"),
    "a list's last rows are left out": ("probes.cu", "(rows + rn - 1) / rn", "rows / rn"),
    "rows that may not answer do": (
        "rescore.cu",
        "id != kNoId ? key_of(row)",
        "row < span.last ? key_of(row)",
    ),
    "no group is taken where few rows answer": ("rescore.cu", "-3.402823466e38f", "0.0f"),
    "a group of another list is scored": (
        "rescore.cu",
        "places[middle] <= group",
        "places[middle] < group",
    ),
    "another query's probe": (
        "list_maxima_floats.cu",
        "lists.places[pair + q]",
        "lists.places[pair]",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_caught(shim: Shim, compiler: ShimCompiler, fault: str) -> None:
    file, old, new = FAULTS[fault]
    planted = Overlaid(compiler.planted(file, (old, new)), shim)
    assert is_noticed(lambda seed: check(planted, seed, "f32", "ip"), 15), "nobody noticed"
