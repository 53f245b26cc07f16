"""Affine maps and rows of length one on the shim, against float64."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from cuda.shim_library import GuardedArray, Shim, ShimCompiler, is_noticed, noisy
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import transforms as definition

DTYPES = {"f32": np.float32, "f16": np.float16, "bf16": ml_dtypes.bfloat16}


def mapped(shim: Shim, seed: int, x: np.ndarray, w: np.ndarray, b: np.ndarray | None) -> np.ndarray:
    """Return W x + b by the kernel."""
    rng = np.random.default_rng(seed)
    out = GuardedArray((len(x), len(w) + 3), np.float32, rng)
    blocks = -(-len(x) // 64) * -(-len(w) // 128)
    shim.launch(
        *("affine_f32", (blocks,), (256,), noisy(x, rng), np.uint64(x.strides[0])),
        *(np.uint32(len(x)), noisy(w, rng), np.uint64(w.strides[0]), np.uint32(len(w))),
        *(np.uint32(x.shape[1]), b, out.array, np.uint64(len(w) + 3)),
        shared=240 * 192,
        seed=seed,
    )
    return out.check()[:, : len(w)]


def check(shim: Shim, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows, dim, outputs = (int(rng.integers(1, most)) for most in (150, 90, 200))
    x = rng.standard_normal((rows, dim)).astype(np.float32)
    w = rng.standard_normal((outputs, dim)).astype(np.float32)
    b = rng.standard_normal(outputs).astype(np.float32) if rng.integers(2) else None
    got = mapped(shim, seed, x, w, b)
    shift = np.zeros(outputs) if b is None else b.astype(np.float64)
    wanted, size = definition.affine(x.astype(np.float64), w.astype(np.float64), shift)
    assert (np.abs(got - wanted) <= 1e-6 * size).all()
    one = int(rng.integers(rows))
    np.testing.assert_array_equal(mapped(shim, seed, x[one : one + 1], w, b)[0], got[one])


@settings(max_examples=12, deadline=None, derandomize=True)
@given(st.integers(0, 2**32))
def test_affine(shim: Shim, seed: int) -> None:
    check(shim, seed)


@pytest.mark.parametrize("name", DTYPES)
def test_rows_of_length_one(shim: Shim, name: str) -> None:
    rng = np.random.default_rng(1)
    x = (rng.standard_normal((9, 70)) * 10.0 ** rng.integers(-4, 4, (9, 1))).astype(DTYPES[name])
    x[4] = 0
    out = GuardedArray(x.shape, DTYPES[name], rng)
    out.array[...] = x
    shim.launch(
        *(f"normalise_rows_{name}", (3,), (96,), out.array, np.uint64(70), np.uint32(9)),
        *(np.uint32(70), out.array, np.uint64(70)),
    )
    wide = x.astype(np.float32).astype(np.float64)
    wanted = definition.normalize(wide)[0].astype(np.float32).astype(DTYPES[name])
    off = np.abs(out.check().astype(np.float64) - wanted.astype(np.float64))
    assert (off <= np.spacing(np.abs(wanted)).astype(np.float64)).all()


FAULTS = {
    "no barrier before a slice is used": (
        "        __syncthreads();  // the slice",
        "  // the slice",
    ),
    "an output past the last is stored": (" || at >= outputs", ""),
    "the last four elements are left out": (
        "byte < kSliceBytes; byte += 16",
        "byte < 48; byte += 16",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_caught(compiler: ShimCompiler, fault: str) -> None:
    planted = compiler.planted("affine.cu", FAULTS[fault])
    assert is_noticed(lambda seed: check(planted, seed), 10), "nobody noticed"
