"""Scans of rows as a linear map has them on the shim: their bound holds, their keys are exact."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cuda.scan_pipeline import GROUP, METRICS, Scan
from cuda.shim_library import GuardedArray, Overlaid, Shim, ShimCompiler, is_noticed, noisy
from cuda.test_group_maxima import by_groups
from cuda.test_scan import TILES, canonical, sample, values_of
from hypothesis import given, settings
from hypothesis import strategies as st

STORED = ("f32", "f16", "bf16", "i8", "u8")
NO_ROW = 0xFFFFFFFF
u32, u64 = np.uint32, np.uint64


def lengths_of(rng: np.random.Generator, values: np.ndarray) -> np.ndarray:
    """Return lengths of mapped rows: like those of the rows, far from them, tiny, or none."""
    norms = np.sqrt(canonical(values * values))
    kind = rng.integers(6)
    if kind == 0:
        return norms
    if kind in (1, 2):
        return norms * 10.0 ** rng.uniform(-kind, kind, len(norms))
    if kind == 3:
        return norms * (rng.random(len(norms)) < 0.8)
    if kind == 4:
        return norms * 10.0 ** rng.choice([-30, -19, 17])
    return np.where(rng.random(len(norms)) < 0.01, 1e-12 * norms, norms)


class FoldedScan(Scan):
    """A scan of rows that a map changes, of which it knows the lengths."""

    def __post_init__(self) -> None:
        self.shown, self.mask = self.mask, None
        super().__post_init__()
        count, metric = len(self.rows), METRICS[self.metric]
        values = values_of(self.rows, self.stored)
        self.lengths = noisy(lengths_of(self.rng, values), self.rng)
        new = {
            "scale": self.scale.array if self.metric == "cosine" else None,
            "bias": self.bias.array if self.metric == "l2" or self.shown is not None else None,
        }
        self.limits = np.zeros(2, np.float32)
        self.shim.launch(
            *("mapped_constants", (-(-count // 64),), (64,), self.norms.array),
            *(None if self.metric == "ip" else self.lengths, self.shown, u32(count), u32(metric)),
            *(*new.values(), self.limits),
            seed=self.seed,
        )
        self.scale.check(), self.bias.check()
        self.constants = new

    def keys_of_all(self, folded: np.ndarray) -> np.ndarray:
        """Return the kernel's keys of all pairs."""
        (count, _, dim), rows = folded.shape, len(self.rows)
        keys = GuardedArray((count, rows), np.float64, self.rng)
        self.shim.launch(
            *(f"folded_scores_{self.stored}", (2, -(-count // 4)), (64,), folded, u32(count)),
            *(self.rows, u64(dim), u32(rows), u32(dim), u32(METRICS[self.metric])),
            *(self.lengths, self.shown, None, keys.array),
            seed=self.seed,
        )
        return keys.check()

    def keys_of_groups(
        self, folded: np.ndarray, lists: np.ndarray, counts: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return keys, rows and how many of them, of the groups of lists."""
        (count, _, dim), capacity = folded.shape, lists.shape[1]
        keys = GuardedArray((count, capacity * GROUP), np.float64, self.rng)
        rows = GuardedArray((count, capacity * GROUP), u32, self.rng)
        pairs = GuardedArray(count, u32, self.rng)
        self.shim.launch(
            *(f"rescore_folded_{self.stored}", (count, 2), (64,), folded, self.rows, u64(dim)),
            *(u32(len(self.rows)), u32(dim), u32(METRICS[self.metric]), self.lengths, self.shown),
            *(lists, counts, u32(capacity), keys.array, rows.array, pairs.array),
            seed=self.seed,
        )
        return keys.check(), rows.check(), pairs.check()


def check_bound(scan: FoldedScan, folded: np.ndarray, keys: np.ndarray, tile: str) -> None:
    """Maxima of groups are as near to those of exact keys as margins say."""
    scan._first_pass(noisy(folded[:, 0], scan.rng), tile)
    with np.errstate(over="ignore", invalid="ignore"):
        exact = (keys / 2 if scan.metric == "l2" else keys) * scan.unit.astype(np.float64)[:, None]
        exact = by_groups(exact)
        assert not (np.abs(scan.maxima - exact) > scan.margin[:, None]).any()
        if scan.shown is not None and np.isfinite(scan.limits[0]):
            assert np.isneginf(scan.maxima[np.isneginf(exact)]).all()


def check_groups(scan: FoldedScan, folded: np.ndarray, keys: np.ndarray) -> None:
    """Keys of groups are the bits of those of all rows; lists may be longer than they can be."""
    count, rows = keys.shape
    groups = -(-rows // GROUP)
    capacity = int(scan.rng.integers(1, groups + 1))
    lists = np.argsort(scan.rng.random((count, groups)), axis=1)[:, :capacity].astype(u32)
    counts = scan.rng.integers(0, capacity + 2, count).astype(u32)
    got, ids, pairs = scan.keys_of_groups(folded, lists, counts)
    for q in range(count):
        taken = min(int(counts[q]), capacity)
        assert pairs[q] == taken * GROUP
        named = (lists[q, :taken, None] * GROUP + np.arange(GROUP)).reshape(-1)
        answers = named < rows
        if scan.shown is not None:
            answers &= scan.shown[np.minimum(named, rows - 1)] != 0
        wanted = np.where(answers, keys[q, np.minimum(named, rows - 1)], -np.inf)
        np.testing.assert_array_equal(got[q, : len(named)], wanted)
        np.testing.assert_array_equal(ids[q, : len(named)], np.where(answers, named, NO_ROW))


def check(shim: Shim | Overlaid, seed: int, stored: str, metric: str) -> None:
    rng = np.random.default_rng(seed)
    count, dim, asked = (int(rng.integers(3, most)) for most in (300, 60, 6))
    rows = sample(rng, stored, count, dim)
    whole = rng.standard_normal((asked, dim)) * 10.0 ** rng.integers(-9, 9)
    whole[0] = values_of(rows[rng.integers(count)], stored)
    if rng.integers(3) == 0:
        whole[-1] *= 1e-38  # below the normal range of float32
    folded = np.empty((asked, 2, dim), np.float32)
    folded[:, 0] = whole
    folded[:, 1] = whole - folded[:, 0]
    shown = (rng.random(count) < 0.7).astype(np.uint8) if rng.integers(2) else None
    scan = FoldedScan(shim, rows, stored, metric, seed=seed, mask=shown)
    folded = noisy(folded, rng)
    keys = scan.keys_of_all(folded)
    tile = "q16" if stored == "f32" else TILES[seed % 2]
    check_bound(scan, folded, keys, tile)
    check_groups(scan, folded, keys)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("stored", STORED)
def test_any_rows_and_lengths(shim: Shim, stored: str, metric: str) -> None:
    @settings(max_examples=8, deadline=None, derandomize=True)
    @given(st.integers(0, 2**32))
    def run(seed: int) -> None:
        check(shim, seed, stored, metric)

    run()


def test_most_groups_are_left_out(shim: Shim) -> None:
    """The bound is one: of rows like any others few are scored twice."""
    rng = np.random.default_rng(1)
    rows = rng.standard_normal((4000, 32)).astype(np.float32)
    folded = np.zeros((2, 2, 32), np.float32)
    folded[:, 0] = rng.standard_normal((2, 32))
    for metric in METRICS:
        scan = FoldedScan(shim, rows, "f32", metric, seed=1)
        scan._first_pass(noisy(folded[:, 0], rng), "q16")
        floor = np.sort(scan.maxima, axis=1)[:, -10] - 2 * scan.margin
        assert ((scan.maxima >= floor[:, None]).sum(axis=1) < 15).all()


FAULTS: dict[str, tuple[Any, ...]] = {
    "rows are as long as they were": (
        *("row_constants.cu", "f32", "cosine", "length > 0.0 ? norm / length : 0.0", "1.0"),
    ),
    "a bias of other lengths": (
        *("row_constants.cu", "bf16", "l2", "-0.5 * length * length", "-0.5 * norms[row]"),
    ),
    "longer mapped rows are not bounded": (
        *("row_constants.cu", "f16", "l2", "return norm < length ? length : norm;", "return norm;"),
    ),
    "who may not answer is in the maxima": (
        *("row_constants.cu", "u8", "ip", "answers ? static_cast<float>(of_length)", "true ? 0.0f"),
    ),
    "who may not answer has a key": ("folded.cu", "i8", "ip", "mask[row] != 0", "true"),
    "lists are read past their end": (
        "folded.cu",
        "f32",
        "l2",
        "min(counts[q], capacity)",
        "counts[q]",
    ),
    "a row past the last is scored": (
        "folded.cu",
        "f32",
        "ip",
        "row < span.last ?",
        "row <= span.last ?",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_caught(shim: Shim, compiler: ShimCompiler, fault: str) -> None:
    file, stored, metric, *change = FAULTS[fault]
    faulty = Overlaid(compiler.planted(file, tuple(change)), shim)
    assert is_noticed(lambda seed: check(faulty, seed, stored, metric), 30), "nobody noticed"
