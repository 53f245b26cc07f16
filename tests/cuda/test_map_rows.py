"""Programs of transforms on the shim, bit for bit as on the CPU; faults that this notices."""

from __future__ import annotations

from typing import Any

import nearfield as nf
import numpy as np
import pytest
from cuda.shim_library import GuardedArray, Shim, ShimCompiler, is_noticed, noisy
from nearfield.cuda import programs

T = nf.transforms
ROWS = 8
NO_ARRAY = 0xFFFFFFFF


class Packed:
    """Programs in host memory, where the shim reads them."""

    def __init__(self, transforms: list[Any]) -> None:
        self.kept: list[np.ndarray] = []
        entries = []
        for transform in transforms:
            table, floats = [], [np.zeros(0, np.float32)]
            for step in programs._steps(transform):
                places = []
                for array in step.arrays:
                    size = sum(part.size for part in floats)
                    places.append(NO_ARRAY if array is None else size)
                    floats.append(np.zeros(0) if array is None else array.reshape(-1))
                table.append((*step[:4], *places))
            steps = np.array(table, np.uint32)
            weights = np.concatenate(floats).astype(np.float32)
            self.kept += [steps, weights]
            entries.append((steps.ctypes.data, len(table), weights.ctypes.data))
        self.entries = np.array(entries, np.uint64)


def launched(
    shim: Shim, kernel: str, seed: int, x: np.ndarray, transforms: list[Any], ids: Any, *out: Any
) -> None:
    """Run one of the kernels; out: what it takes after the number of tiles.

    ids None: all by the first, in tiles of one row; of map_queries_1 too, then each row's own.
    """
    rng = np.random.default_rng(seed)
    tile = ROWS if kernel.endswith("_8") else 1
    packed, (rows, dim) = Packed(transforms), x.shape
    needs = programs.Needs(dim)
    for transform in transforms:
        needs |= programs.needs_of(transform, dim)
    floats = tile * ((1 + needs.has_spare) * needs.widest + needs.hidden + needs.partials)
    numbers = order = offsets = None
    tiles = -(-rows // tile)
    if ids is not None and tile == 1:
        numbers = (ids + 1).astype(np.uint32)
    elif ids is not None:
        order = np.argsort(ids, kind="stable").astype(np.uint32)
        starts = np.searchsorted(ids[order], np.arange(-1, len(transforms) + 1))
        offsets = np.append(starts, rows).astype(np.uint32)
        tiles += len(transforms) + 2
    u32, zero = np.uint32, None
    shim.launch(
        *(kernel, (int(rng.integers(1, tiles + 1)),), (128,), noisy(x, rng), np.uint64(dim)),
        *(u32(0), u32(dim), u32(rows), u32(1), packed.entries, u32(len(transforms)), numbers),
        *(order, offsets, zero, u32(0), zero, u32(floats), u32(needs.widest), u32(needs.hidden)),
        *(u32(needs.has_spare), u32(tiles), *out),
        shared=4 * floats,
        seed=seed,
    )


def mapped(shim: Shim, seed: int, x: np.ndarray, transforms: list[Any], ids: Any) -> np.ndarray:
    """Return rows mapped by the kernel; ids None: by the first, in tiles of one row."""
    columns = transforms[0].out_dim or x.shape[1]
    out = GuardedArray((len(x), columns), np.float32, np.random.default_rng(seed))
    to = (out.array, np.uint32(0), np.uint64(columns), np.uint32(columns), None)
    launched(shim, f"map_rows_{1 if ids is None else ROWS}", seed, x, transforms, ids, *to)
    return out.check()


def check(shim: Shim, seed: int) -> None:
    rng = np.random.default_rng(seed)
    dim, rows, count = int(rng.integers(130, 300)), int(rng.integers(9, 40)), 3

    def normal(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(np.float32) / 8

    low_rank = [
        T.Chain([T.LowRank(normal(5, dim), normal(dim, 5), bias=normal(dim)), T.Normalize()])
        for _ in range(count - 1)
    ]
    key_value = T.Chain([T.KeyValue(normal(20, dim), normal(20, dim)), T.Affine(normal(dim, dim))])
    transforms, x = [*low_rank, key_value], normal(rows, dim)
    ids = rng.integers(-1, count, rows)
    np.testing.assert_array_equal(
        mapped(shim, seed, x, transforms, ids), T.apply(x, transforms, transform_ids=ids)
    )
    np.testing.assert_array_equal(mapped(shim, seed, x, low_rank, None), low_rank[0](x))


@pytest.mark.parametrize("seed", range(3))
def test_programs(shim: Shim, seed: int) -> None:
    check(shim, seed)


def check_numbers(shim: Shim, seed: int) -> None:
    """Ids beyond the maps have a number of their own, behind them."""
    rng, maps = np.random.default_rng(seed), 5
    for name, dtype in (("i32", np.int32), ("i64", np.int64)):
        ids = rng.integers(-3, maps + 3, 70).astype(dtype)
        ids[:2] = np.iinfo(dtype).min, np.iinfo(dtype).max
        numbers = GuardedArray(len(ids), np.uint32, rng)
        count = (np.uint32(len(ids)), np.uint32(maps))
        shim.launch(f"numbers_of_ids_{name}", (3,), (32,), ids, *count, numbers.array, seed=seed)
        is_known = (ids >= -1) & (ids < maps)
        np.testing.assert_array_equal(
            numbers.check(), np.where(is_known, ids.astype(np.int64) + 1, maps + 1)
        )


def test_numbers_of_ids(shim: Shim) -> None:
    check_numbers(shim, 1)


FAULTS = {
    "the first adapter for all": ("chosen.programs[tile.number - 1]", "chosen.programs[0]"),
    "a residual is dropped": (
        "return bias != nullptr ? x + bias[k] : x;",
        "return bias != nullptr ? bias[k] : 0.0f * x;",
    ),
    "unit length before the map": (
        "program.steps[s]",
        "program.steps[program.count - 1 - s]",
    ),
    "sums of blocks are read before they are there": (
        "        __syncthreads();\n        for (u32 task = threadIdx.x; task < R * outputs",
        "        for (u32 task = threadIdx.x; task < R * outputs",
    ),
    "the last row of a tile is left out": (
        "first < last ? min(R, last - first) : 0",
        "first < last ? min(R - 1, last - first) : 0",
    ),
    "a softmax without its largest": ("exponential(x[j] - most)", "exponential(x[j])"),
    "the last elements are left out": (
        "min(depth, first + kProductBlock)",
        "min(depth - 1, first + kProductBlock)",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_caught(compiler: ShimCompiler, fault: str) -> None:
    planted = compiler.planted("map_rows.cu", FAULTS[fault])
    assert is_noticed(lambda seed: check(planted, seed), 4), "nobody noticed"
