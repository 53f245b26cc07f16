"""Maps of rows on the shim, against their float64 definitions; every row has its own map."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from cuda.shim_library import GuardedArray, Shim, ShimCompiler, is_noticed, noisy
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import transforms as definition

DTYPES = {"f32": np.float32, "f16": np.float16, "bf16": ml_dtypes.bfloat16}
ROUNDING = {"f32": 2.0**-23, "f16": 2.0**-11, "bf16": 2.0**-8}
ACTIVATIONS = ("none", "softmax", "relu", "leaky_relu", "tanh", "sigmoid")
TILE = 4


def tiles_of(maps: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Cut sorted rows into tiles of one map: map, first, last."""
    tiles, first = [], 0
    while first < len(order):
        last = first
        while last < min(len(order), first + TILE) and maps[order[last]] == maps[order[first]]:
            last += 1
        tiles.append((maps[order[first]], first, last))
        first = last
    return np.array(tiles, np.uint32)


def expected(
    x: np.ndarray, layer: dict[str, np.ndarray], activation: str, factor: float, gate: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return a map of some rows by definition, and the size of its sums."""
    h = factor * (x @ layer["inner"].T) + layer["inner_bias"]
    size = factor * (np.abs(x) @ np.abs(layer["inner"]).T) + np.abs(layer["inner_bias"])
    if activation == "softmax":
        h, steep = definition.softmax(h), 1 + 2 * size.max(axis=1, keepdims=True)
        size = np.abs(h) * steep
    elif activation != "none":
        h, size = definition.activate(h, activation), size + 1
    y = x + gate * (h @ layer["outer"]) + layer["bias"]
    return y, np.abs(x) + abs(gate) * (size @ np.abs(layer["outer"])) + np.abs(layer["bias"])


def check(shim: Shim, seed: int, name: str, activation: str) -> None:
    rng = np.random.default_rng(seed)
    rows, dim, width = int(rng.integers(1, 40)), int(rng.integers(1, 80)), int(rng.integers(1, 20))
    count = int(rng.integers(1, 6))
    with_order, with_bias, normalise, with_out = rng.integers(0, 2, 4)
    x = rng.standard_normal((rows, dim)).astype(DTYPES[name])
    many = {
        key: rng.standard_normal((count, *shape)).astype(np.float32)
        for key, shape in (
            ("inner", (width, dim)),
            ("inner_bias", (width,)),
            ("outer", (width, dim)),
            ("bias", (dim,)),
        )
    }
    if not with_bias:
        many["bias"][...], many["inner_bias"][...] = 0, 0
    maps = rng.integers(0, count, rows) if with_order else np.zeros(rows, np.int64)
    order = np.argsort(maps, kind="stable").astype(np.uint32)
    tiles = tiles_of(maps, order)
    factor, gate = np.float32(rng.uniform(0.1, 1)), np.float32(rng.uniform(-1, 1))
    warps = int(rng.integers(1, 4))
    out = GuardedArray((rows, dim + 3), DTYPES[name], rng)
    norms = GuardedArray(rows, np.float32, rng)
    tile_count = len(tiles) if with_order else -(-rows // TILE)
    shim.launch(
        *(f"residual_map_{name}", (-(-tile_count // warps),), (32 * warps,), noisy(x, rng)),
        *(np.uint64(dim), np.uint32(rows), np.uint32(dim), np.uint32(width), many["inner"]),
        *(many["inner_bias"] if with_bias else None, many["outer"]),
        *(many["bias"] if with_bias else None, np.uint32(ACTIVATIONS.index(activation))),
        *(factor, gate, tiles if with_order else None, np.uint32(tile_count)),
        *(order if with_order else None, np.uint32(normalise)),
        *(out.array if with_out else None, np.uint64(dim + 3), norms.array),
        shared=16 * (width + dim) * warps,
        seed=seed,
    )
    with np.errstate(invalid="ignore"):  # noise, where there is no output
        got, got_norms = out.check()[:, :dim].astype(np.float64), norms.check()
    for map_number in range(count):
        mine = maps == map_number
        layer = {key: value[map_number].astype(np.float64) for key, value in many.items()}
        wide = x[mine].astype(np.float64)
        y, size = expected(wide, layer, activation, float(factor), float(gate))
        length = np.linalg.norm(y, axis=1)
        lost = 2e-6 * np.linalg.norm(size, axis=1)
        assert (np.abs(got_norms[mine] - length) <= lost).all()
        if with_out:
            by = length[:, None] if normalise else 1.0
            error = 2e-6 * size / by + normalise * lost[:, None] * np.abs(y) / by**2
            assert (
                np.abs(got[mine] - y / by) <= error + ROUNDING[name] * np.abs(y / by) + 1e-7
            ).all()


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_residual_maps(shim: Shim, activation: str) -> None:
    @settings(max_examples=15, deadline=None, derandomize=True)
    @given(st.integers(0, 2**32), st.sampled_from(sorted(DTYPES)))
    def run(seed: int, name: str) -> None:
        check(shim, seed, name, activation)

    run()


def test_a_row_does_not_depend_on_its_neighbours(shim: Shim) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((7, 50)).astype(np.float32)
    inner, outer = rng.standard_normal((2, 6, 50)).astype(np.float32)

    def mapped(rows: np.ndarray) -> np.ndarray:
        out = GuardedArray(rows.shape, np.float32, rng)
        shim.launch(
            *("residual_map_f32", (len(rows),), (32,), np.ascontiguousarray(rows)),
            *(np.uint64(50), np.uint32(len(rows)), np.uint32(50), np.uint32(6), inner, None),
            *(outer, None, np.uint32(1), np.float32(1), np.float32(1), None),
            *(np.uint32(-(-len(rows) // TILE)), None, np.uint32(1)),
            *(out.array, np.uint64(50), None),
            shared=16 * 56,
        )
        return out.check()

    together = mapped(x)
    for row in range(7):
        np.testing.assert_array_equal(mapped(x[row : row + 1])[0], together[row])


def check_modulation(shim: Shim, seed: int, name: str) -> None:
    rng = np.random.default_rng(seed)
    count, dim, vocabulary = int(rng.integers(1, 6)), int(rng.integers(1, 200)), 30
    x = rng.standard_normal((count, dim)).astype(DTYPES[name])
    table = rng.standard_normal((vocabulary, dim)).astype(np.float32)
    bias = rng.standard_normal(dim).astype(np.float32)
    lengths = rng.integers(0, 6, count)
    tokens = [np.sort(rng.choice(vocabulary, n, replace=False)) for n in lengths]
    weights = [rng.uniform(0.1, 1, n).astype(np.float32) for n in lengths]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.uint64)
    normalise = bool(rng.integers(0, 2))
    out = GuardedArray((count, dim + 1), DTYPES[name], rng)
    shim.launch(
        *(f"modulate_{name}", (count,), (int(rng.choice([32, 96])),), x, np.uint64(dim)),
        *(np.uint32(dim), offsets, np.concatenate(tokens).astype(np.uint32)),
        *(np.concatenate(weights).astype(np.float32), table, bias, np.uint32(normalise)),
        *(out.array, np.uint64(dim + 1)),
        shared=4 * dim,
        seed=seed,
    )
    # Weights are given: those whose token_weight is themselves.
    pairs = [
        [(int(t), float(np.expm1(np.float64(w)))) for t, w in zip(ids, some, strict=True)]
        for ids, some in zip(tokens, weights, strict=True)
    ]
    wanted, size = definition.modulation(
        *(x.astype(np.float64), pairs, table.astype(np.float64), bias.astype(np.float64)),
        mode="llr",
        form="paper",
        normalized=normalise,
    )
    got = out.check()[:, :dim].astype(np.float64)
    assert (np.abs(got - wanted) <= 2e-6 * size + ROUNDING[name] * np.abs(wanted) + 1e-7).all()


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.integers(0, 2**32), st.sampled_from(sorted(DTYPES)))
def test_modulation(shim: Shim, seed: int, name: str) -> None:
    check_modulation(shim, seed, name)


FAULTS = {
    "the hidden layer is read before it is there": (
        *("residual_map.cu", "    __syncwarp();\n    if (layer.activation != kSoftmax)"),
        "    if (layer.activation != kSoftmax)",
    ),
    "a softmax without its sum": ("residual_map.cu", "x[j] = x[j] / sum;", "x[j] = x[j];"),
    "the last of a tile's rows is left out": (
        "residual_map.cu",
        "r < tile.count; ++r",
        "r + 1 < tile.count; ++r",
    ),
    "the first map for all": ("residual_map.cu", "all.of_map(tile.map)", "all.of_map(0)"),
    "a maximum before all warps gave theirs": (
        *(
            "modulate.cu",
            "of_warps[warp_id()] = x;\n    __syncthreads();",
            "of_warps[warp_id()] = x;",
        ),
    ),
    "a length before all elements are there": (
        *("modulate.cu", "    __syncthreads();\n    const float norm", "    const float norm"),
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_caught(compiler: ShimCompiler, fault: str) -> None:
    file, old, new = FAULTS[fault]
    planted = compiler.planted(file, (old, new))

    def run(seed: int) -> None:
        if file == "modulate.cu":
            check_modulation(planted, seed, "f32")
        else:
            check(planted, seed, "f32", "none" if "hidden" in fault else "softmax")

    assert is_noticed(run, 20), "nobody noticed"
