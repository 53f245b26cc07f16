"""Codes of scalar quantization, and rows of codes, on the shim, against their definitions."""

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


def check_scalar(shim: Shim, seed: int, name: str) -> None:
    """Encode rows, some of them out of range or not finite, and decode them again."""
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
    grid = ((-(-count // warps),), (32 * warps,))
    sizes = (np.uint32(count), np.uint32(dim))
    shim.launch(
        *(f"scalar_encode_{name}", *grid, noisy(rows, rng), np.uint64(dim), *sizes),
        *(noisy(low, rng), noisy(inverse, rng), most, np.uint32(bits)),
        *(codes.array, np.uint64(width + 1)),
        seed=seed,
    )
    with np.errstate(invalid="ignore"):
        cells = (rows.astype(np.float32) - low) * inverse
        numbers = np.where(cells > 0, np.minimum(cells, most), 0).astype(np.uint32)
    np.testing.assert_array_equal(codes.check()[:, :width], packed(numbers, bits))
    out = GuardedArray((count, dim), np.float32, rng)
    step, base = (noisy(part, rng) for part in (1 / inverse, low))
    shim.launch(
        *("scalar_decode", *grid, codes.array, np.uint64(width + 1), *sizes, step, base),
        *(np.uint32(bits), out.array),
        seed=seed,
    )
    np.testing.assert_array_equal(out.check(), step * numbers.astype(np.float32) + base)


def check_parts(shim: Shim, seed: int) -> None:
    """Decode codes of product quantization."""
    rng = np.random.default_rng(seed)
    count, m, width = (int(rng.integers(1, most)) for most in (40, 9, 6))
    bits, warps = int(rng.choice([4, 8])), int(rng.integers(1, 4))
    books = rng.standard_normal((m, 2**bits, width)).astype(np.float32)
    numbers = rng.integers(0, 2**bits, (count, m))
    codes = packed(numbers, bits)
    out = GuardedArray((count, m * width), np.float32, rng)
    shim.launch(
        *("pq_decode", (-(-count // warps),), (32 * warps,), noisy(codes, rng)),
        *(np.uint64(codes.shape[1]), np.uint32(count), noisy(books, rng), np.uint32(m)),
        *(np.uint32(width), np.uint32(bits), out.array),
        seed=seed,
    )
    np.testing.assert_array_equal(out.check(), books[np.arange(m), numbers].reshape(count, -1))


@settings(max_examples=12, deadline=None, derandomize=True)
@given(st.integers(0, 2**32), st.sampled_from(sorted(DTYPES)))
def test_scalar_codes(shim: Shim, seed: int, name: str) -> None:
    check_scalar(shim, seed, name)


@settings(max_examples=12, deadline=None, derandomize=True)
@given(st.integers(0, 2**32))
def test_rows_of_parts(shim: Shim, seed: int) -> None:
    check_parts(shim, seed)


FAULTS = {
    "an odd dimension has a neighbour": ("scalar_encode.cu", "2 * at + 1 < dim", "true"),
    "what is too large goes round": ("scalar_encode.cu", "fminf(cell, ranges.most)", "cell"),
    "a row past the last is encoded": ("scalar_encode.cu", "if (row >= count) return;", ""),
    "halves change places": ("decode.cu", "j % 2 * 4", "4 - j % 2 * 4"),
    "the first book for all parts": ("decode.cu", "static_cast<u64>(j) << bits", "u64{0}"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_caught(compiler: ShimCompiler, fault: str) -> None:
    file, old, new = FAULTS[fault]
    planted = compiler.planted(file, (old, new))

    def check(seed: int) -> None:
        if file == "decode.cu":
            check_parts(planted, seed)
        else:
            check_scalar(planted, seed, "f32")

    assert is_noticed(check, 12), "nobody noticed"
