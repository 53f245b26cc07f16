"""Codes of scalar quantization on the shim, against their definition."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from cuda.shim_library import GuardedArray, Shim, ShimCompiler, is_noticed, noisy
from hypothesis import given, settings
from hypothesis import strategies as st

DTYPES = {"f32": np.float32, "f16": np.float16, "bf16": ml_dtypes.bfloat16}


def packed(numbers: np.ndarray, bits: int) -> np.ndarray:
    """Return numbers as bytes: of 4 bits, even ones are low halves."""
    if bits == 8:
        return numbers.astype(np.uint8)
    even = np.pad(numbers, ((0, 0), (0, numbers.shape[1] % 2)))
    return (even[:, ::2] | even[:, 1::2] << 4).astype(np.uint8)


def check(shim: Shim, seed: int, name: str) -> None:
    """Encode rows, some of them out of range or not finite."""
    rng = np.random.default_rng(seed)
    count, dim = int(rng.integers(1, 40)), int(rng.integers(1, 90))
    bits, warps = int(rng.choice([4, 8])), int(rng.integers(1, 4))
    rows = (rng.standard_normal((count, dim)) * 3).astype(DTYPES[name])
    rows[rng.integers(count), rng.integers(dim)] = rng.choice([np.nan, np.inf, -np.inf])
    low = rng.standard_normal(dim).astype(np.float32) - 3
    inverse = rng.uniform(1, 40, dim).astype(np.float32)
    most = np.float32(2**bits - 1)
    width = -(-dim * bits // 8)
    codes = GuardedArray((count, width + 1), np.uint8, rng)
    shim.launch(
        *(f"scalar_encode_{name}", (-(-count // warps),), (32 * warps,), noisy(rows, rng)),
        *(np.uint64(dim), np.uint32(count), np.uint32(dim), noisy(low, rng), noisy(inverse, rng)),
        *(most, np.uint32(bits), codes.array, np.uint64(width + 1)),
        seed=seed,
    )
    with np.errstate(invalid="ignore"):
        cells = (rows.astype(np.float32) - low) * inverse
        numbers = np.where(cells > 0, np.minimum(cells, most), 0).astype(np.uint32)
    np.testing.assert_array_equal(codes.check()[:, :width], packed(numbers, bits))


@settings(max_examples=12, deadline=None, derandomize=True)
@given(st.integers(0, 2**32), st.sampled_from(sorted(DTYPES)))
def test_numbers_of_cells(shim: Shim, seed: int, name: str) -> None:
    check(shim, seed, name)


FAULTS = {
    "an odd dimension has a neighbour": ("2 * at + 1 < dim", "true"),
    "what is too large goes round": ("fminf(cell, ranges.most)", "cell"),
    "a row past the last is encoded": ("if (row >= count) return;", ""),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_caught(compiler: ShimCompiler, fault: str) -> None:
    planted = compiler.planted("scalar_encode.cu", FAULTS[fault])
    assert is_noticed(lambda seed: check(planted, seed, "f32"), 48), "nobody noticed"
