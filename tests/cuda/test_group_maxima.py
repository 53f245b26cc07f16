"""group_maxima: the largest score of each 32 rows, within the bound that makes a scan exact."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from cuda.shim_library import GuardedArray, Shim, ShimCompiler, is_noticed, noisy
from hypothesis import given, settings
from hypothesis import strategies as st

GROUP = 32
DTYPES = {"f32": np.float32, "f16": np.float16, "bf16": ml_dtypes.bfloat16, "u8": np.uint8}
DTYPES |= {"i8": np.int8}
TILES = {"q128": (128, 128), "q64": (64, 128), "q32": (32, 256), "q16": (16, 256)}
KERNELS = [f"f32_{tile}" for tile in ("q64", "q16")]
KERNELS += [f"{t}_{tile}" for t in ("f16", "bf16", "u8", "i8") for tile in ("q128", "q32", "q16")]


def tile_of(kernel: str) -> tuple[int, int]:
    """Return queries and rows of a tile."""
    return (16, 128) if kernel == "f32_q16" else TILES[kernel.split("_")[1]]


def strided(values: np.ndarray, extra: int, offset: int, rng: np.random.Generator) -> np.ndarray:
    """Return a copy whose rows are `extra` elements apart, `offset` elements into noise."""
    rows, dim = values.shape
    memory = noisy(np.zeros(rows * (dim + extra) + offset, values.dtype), rng)
    memory[...] = rng.integers(0, 250, memory.shape).astype(values.dtype)
    view = memory[offset:].reshape(rows, dim + extra)
    view[:, :dim] = values
    return view


def launch(
    shim: Shim,
    kernel: str,
    queries: np.ndarray,
    rows: np.ndarray,
    dim: int,
    maxima: np.ndarray,
    *,
    scale: np.ndarray | None = None,
    bias: np.ndarray | None = None,
    unit: np.ndarray | None = None,
    init: np.ndarray | None = None,
    seed: int = 0,
) -> None:
    """Run one of the kernels over all tiles."""
    qm, rn = tile_of(kernel)
    blocks = -(-len(queries) // qm) * -(-len(rows) // rn)
    shim.launch(
        *(f"group_maxima_{kernel}", (blocks,), (256,)),
        *(queries, np.uint64(queries.strides[0]), np.uint32(len(queries))),
        *(rows, np.uint64(rows.strides[0]), np.uint32(len(rows))),
        np.uint32(dim * rows.dtype.itemsize),
        *(scale, bias, unit, init, maxima, np.uint64(maxima.shape[1])),
        shared=240 * (qm + rn),
        seed=seed,
    )


def wide(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float32).astype(np.float64)


def by_groups(scores: np.ndarray) -> np.ndarray:
    """Return the maxima over groups of columns."""
    lack = -scores.shape[1] % GROUP
    padded = np.pad(scores, ((0, 0), (0, lack)), constant_values=-np.inf)
    return padded.reshape(len(scores), -1, GROUP).max(axis=2)


def check(shim: Shim, kernel: str, seed: int, count: int, rows_count: int, dim: int) -> None:
    rng = np.random.default_rng(seed)
    dtype = DTYPES[kernel.split("_")[0]]
    with_scale, with_bias, misplaced = rng.integers(0, 2, 3)
    init = None
    if dtype in (np.uint8, np.int8):
        low = np.iinfo(dtype).min
        q = rng.integers(-128, 128, (count, dim)).astype(np.int8)
        x = rng.integers(low, low + 256, (rows_count, dim)).astype(dtype)
        init = rng.integers(-(2**20), 2**20, count).astype(np.int32)
    else:
        q = rng.standard_normal((count, dim)).astype(dtype)
        x = rng.standard_normal((rows_count, dim)).astype(dtype)
    aligned = -dim % (16 // x.dtype.itemsize)
    extra, offset = (
        (int(rng.integers(0, 9)), int(rng.integers(0, 3))) if misplaced else (aligned, 0)
    )
    q, x = strided(q, extra, offset, rng), strided(x, extra, offset, rng)
    scale = rng.uniform(0.5, 2, rows_count).astype(np.float32) if with_scale else None
    bias = rng.standard_normal(rows_count).astype(np.float32) if with_bias else None
    unit = rng.uniform(0.5, 2, count).astype(np.float32) if with_bias else None
    groups = -(-rows_count // GROUP)
    out = GuardedArray((count, groups + int(rng.integers(0, 3))), np.float32, rng)
    launch(
        *(shim, kernel, q, x, dim, out.array),
        scale=scale,
        bias=bias,
        unit=unit,
        init=init,
        seed=seed,
    )
    got = out.check()[:, :groups]
    if init is not None:
        products = q[:, :dim].astype(np.int64) @ x[:, :dim].astype(np.int64).T + init[:, None]
        scores = products.astype(np.float32)
        if scale is not None:
            scores = scores * scale
        if bias is not None:  # fused: rounded once
            scores = (wide(bias) * wide(unit)[:, None] + wide(scores)).astype(np.float32)
        np.testing.assert_array_equal(got, by_groups(scores))
        return
    scores = wide(q[:, :dim]) @ wide(x[:, :dim]).T
    norms = np.linalg.norm(wide(q[:, :dim]), axis=1)[:, None] * np.linalg.norm(
        wide(x[:, :dim]), axis=1
    )
    if scale is not None:
        scores, norms = scores * scale, norms * scale
    if bias is not None:
        scores = scores + wide(bias) * wide(unit)[:, None]
        norms = norms + np.abs(bias) * wide(unit)[:, None]
    error = ((dim + 32) * 2.0**-22 * norms).max(axis=1, keepdims=True)
    assert (np.abs(got - by_groups(scores)) <= error).all()


@pytest.mark.parametrize("kernel", KERNELS)
def test_any_shape(shim: Shim, kernel: str) -> None:
    @settings(max_examples=8, deadline=None, derandomize=True)
    @given(st.integers(0, 2**32), st.integers(1, 140), st.integers(1, 300), st.integers(1, 100))
    def run(seed: int, count: int, rows: int, dim: int) -> None:
        check(shim, kernel, seed, count, rows, dim)

    run()


FAULTS = {
    "no barrier before a slice is used": (
        "        __syncthreads();  // the slice",
        "  // the slice",
    ),
    "a slice is used before it is there": ("kStages - 2>();", "kStages - 1>();"),
    "rows that are not aligned are copied as if they were": ("| stride) & 15) == 0", ") & 0) == 0"),
    "rows past the last count": ("if (row >= rows) return -infinity();", ""),
    "bytes past the depth count": ("chunk.left < 16 ? chunk.left : 16", "16"),
    "the last group of four columns is left out": (
        "for (u32 step = Tile::kShare / 2; step",
        "for (u32 step = 1; step",
    ),
    "fragments of the second half are the first's": ("16 * (i % 2)", "0 * (i % 2)"),
    "a query past the last is stored": (
        "q < queries.count && row < rows.count",
        "row < rows.count",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_caught(compiler: ShimCompiler, fault: str) -> None:
    planted = compiler.planted("group_maxima_bf16.cu", FAULTS[fault])
    shapes = [(seed, 20 + seed, 289 + seed, 90 + seed) for seed in range(6)]
    assert is_noticed(lambda seed: check(planted, "bf16_q16", *shapes[seed]), 6), "nobody noticed"
