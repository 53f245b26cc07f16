"""A whole exact search by the kernels, one launch after another, as a host program makes it."""

from __future__ import annotations

from dataclasses import dataclass

import ml_dtypes
import numpy as np
from cuda.shim_library import GuardedArray, Shim, noisy
from cuda.test_group_maxima import GROUP, launch

METRICS = {"ip": 0, "l2": 1, "cosine": 2}
STORED = {
    "f32": np.float32,
    "f16": np.float16,
    "bf16": ml_dtypes.bfloat16,
    "u8": np.uint8,
    "i8": np.int8,
    "e8": np.uint8,  # int8, moved by 128
}
MISSING = np.iinfo(np.int64).min


@dataclass
class Found:
    """What a search returns, and what it did on the way."""

    labels: np.ndarray
    scores: np.ndarray
    keys: np.ndarray
    groups: np.ndarray  # per query, after pass 1


@dataclass
class Scan:
    """Rows that were prepared once. as_bytes: float rows are scanned by their codes.

    mask says which rows may answer; with leaves_out_self query q may not get row q.
    """

    shim: Shim
    rows: np.ndarray
    stored: str
    metric: str
    as_bytes: bool = False
    seed: int = 0
    mask: np.ndarray | None = None
    leaves_out_self: bool = False

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        count, dim = self.rows.shape
        self.rows = noisy(self.rows, self.rng)
        self.norms = GuardedArray(count, np.float64, self.rng)
        self.scale = GuardedArray(count, np.float32, self.rng)
        self.bias = GuardedArray(count, np.float32, self.rng)
        self.limits = np.zeros(2, np.float32)
        stride = -(-dim // 16) * 16
        self.codes = GuardedArray((count, stride), np.uint8, self.rng)
        needs_scale = self.as_bytes or self.metric == "cosine"
        constants = (
            self.norms.array,
            self.scale.array if needs_scale else None,
            self.bias.array if self.metric == "l2" else None,
            self.limits,
        )
        codes = (self.codes.array, np.uint64(stride)) if self.as_bytes else ()
        self.shim.launch(
            f"{'encode_rows' if self.as_bytes else 'row_constants'}_{self.stored}",
            *((-(-count // 2),), (64,), self.rows, np.uint64(dim), np.uint32(count)),
            *(np.uint32(dim), np.uint32(METRICS[self.metric]), *codes, *constants),
            seed=self.seed,
        )
        for array in (self.norms, self.scale, self.bias, self.codes):
            array.check()
        self.constants = {"scale": constants[1], "bias": constants[2]}
        if self.mask is not None:
            self.constants["bias"] = self._masked(constants[2])

    def _masked(self, bias: np.ndarray | None) -> np.ndarray:
        count = np.uint32(len(self.rows))
        out = GuardedArray(len(self.rows), np.float32, self.rng)
        grid = (-(-len(self.rows) // 64),), (64,)
        self.shim.launch("mask_bias", *grid, self.mask, bias, count, out.array, seed=self.seed)
        return out.check()

    @property
    def is_bytes(self) -> bool:
        return self.as_bytes or self.stored in {"u8", "e8", "i8"}

    def search(self, queries: np.ndarray, k: int, tile: str, capacity: int) -> Found:
        """Return the k best of every query; lists that overflow are made anew, of every group."""
        count = len(queries)
        maxima, margin, norms = self._first_pass(queries, tile)
        groups = maxima.shape[1]
        wanted = k + self.leaves_out_self
        best = GuardedArray((count, wanted), np.float32, self.rng)
        ids = GuardedArray((count, wanted), np.uint32, self.rng)
        self.shim.launch(
            *("select_k_radix_f32", (count,), (64,), maxima, None, np.uint64(groups), None),
            *(np.uint32(groups), np.uint32(0), np.uint32(wanted), None, best.array, ids.array),
            shared=8 * wanted,
            seed=self.seed,
        )
        selection = (maxima, best.check(), margin, np.arange(count))
        keys, ids, found = self._last_pass(queries, k, selection, capacity)
        for q in np.flatnonzero(found > capacity):
            one = slice(q, q + 1)
            again = tuple(part[one] for part in selection)
            keys[one], ids[one], _ = self._last_pass(queries[one], k, again, groups)
        scores = GuardedArray((count, k), np.float32, self.rng)
        labels = GuardedArray((count, k), np.int64, self.rng)
        self.shim.launch(
            *("finish_scores", (-(-count * k // 64),), (64,), keys, ids, np.uint64(count * k)),
            *(np.uint32(k), np.uint32(METRICS[self.metric]), norms, scores.array, labels.array),
            seed=self.seed,
        )
        return Found(labels.check(), scores.check(), keys, found)

    def _first_pass(
        self, queries: np.ndarray, tile: str
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        count, dim = queries.shape
        kind = "i8" if self.is_bytes else self.stored
        dtype = np.int8 if self.is_bytes else STORED[self.stored]
        stride = -(-dim // 16) * 16
        prepared = GuardedArray((count, stride), dtype, self.rng)
        unit = GuardedArray(count, np.float32, self.rng)
        margin = GuardedArray(count, np.float32, self.rng)
        norms = GuardedArray(count, np.float64, self.rng)
        init = GuardedArray(count, np.int32, self.rng)
        zero = np.int32(0 if self.stored in {"u8", "i8"} else 128)
        self.shim.launch(
            *(f"prepare_queries_{kind}", (-(-count // 2),), (64,), queries, np.uint64(dim)),
            *(np.uint32(count), np.uint32(dim), np.uint32(METRICS[self.metric]), self.limits),
            *(prepared.array, np.uint64(stride), unit.array, margin.array, norms.array),
            *((zero, init.array) if self.is_bytes else ()),
            seed=self.seed,
        )
        for array in (prepared, unit, margin, norms, init):
            array.check()
        groups = -(-len(self.rows) // GROUP)
        maxima = GuardedArray((count, groups), np.float32, self.rng)
        rows = self.codes.array if self.as_bytes else self.rows
        kernel = "u8" if self.as_bytes or self.stored == "e8" else self.stored
        launch(
            *(self.shim, f"{kernel}_{tile}"),
            *(prepared.array, rows, dim, maxima.array),
            unit=unit.array,
            init=init.array if self.is_bytes else None,
            seed=self.seed,
            **self.constants,
        )
        self.maxima, self.margin, self.unit = maxima.array, margin.array, unit.array
        return maxima.check(), margin.array, norms.array

    def _last_pass(
        self,
        queries: np.ndarray,
        k: int,
        selection: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
        capacity: int,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        count, dim = queries.shape
        maxima, best, margin, own = (np.ascontiguousarray(part) for part in selection)
        groups = maxima.shape[1]
        lists = GuardedArray((count, capacity), np.uint32, self.rng)
        counts = np.zeros(count, np.uint32)
        self.shim.launch(
            *("collect_groups", (count, 2), (64,), maxima, np.uint64(groups), np.uint32(groups)),
            *(best, np.uint32(best.shape[1]), margin, np.uint32(capacity), lists.array, counts),
            seed=self.seed,
        )
        lists.check()
        keys = GuardedArray((count, capacity * GROUP), np.float64, self.rng)
        ids = GuardedArray((count, capacity * GROUP), np.uint32, self.rng)
        pairs = GuardedArray(count, np.uint32, self.rng)
        self.shim.launch(
            *(f"rescore_{self.stored}", (count, 2), (64,), queries, np.uint64(dim), self.rows),
            *(np.uint64(dim), np.uint32(len(self.rows)), np.uint32(dim)),
            *(np.uint32(METRICS[self.metric]), self.norms.array, self.mask),
            *(np.uint32(own[0]), np.uint32(self.leaves_out_self), lists.array, counts),
            *(np.uint32(capacity), keys.array, ids.array, pairs.array),
            seed=self.seed,
        )
        best_keys = GuardedArray((count, k), np.float64, self.rng)
        best_ids = GuardedArray((count, k), np.uint32, self.rng)
        length = capacity * GROUP
        self.shim.launch(
            *("select_k_radix_f64", (count,), (64,), keys.check(), ids.check()),
            *(np.uint64(length), pairs.check(), np.uint32(length), np.uint32(0), np.uint32(k)),
            *(None, best_keys.array, best_ids.array),
            shared=16 * k,
            seed=self.seed,
        )
        return best_keys.check(), best_ids.check(), counts
