"""Product quantization on the shim: codes are the nearest centroids, ties to the smaller number."""

from __future__ import annotations

import ml_dtypes
import nearfield as nf
import numpy as np
import pytest
from cuda.shim_library import GuardedArray, Shim, ShimCompiler, is_noticed, noisy
from hypothesis import given, settings
from hypothesis import strategies as st

DTYPES = {"f32": np.float32, "f16": np.float16, "bf16": ml_dtypes.bfloat16}
LIMIT = 2.0**60


def encode(
    shim: Shim, seed: int, name: str, rows: np.ndarray, books: np.ndarray, nbits: int
) -> np.ndarray:
    """Return codes by the kernel; books: m x k x width, prepared as the engine prepares them."""
    rng = np.random.default_rng(seed)
    m, k, width = books.shape
    dim, count = m * width, len(rows)
    centre = books.astype(np.float64).mean(axis=1).reshape(-1).astype(np.float32)
    most = np.abs(books / 4 - centre.reshape(m, 1, width) / 4).max(axis=(1, 2))
    scale = np.repeat(np.ldexp(np.float32(1), -np.frexp(most)[1] - 2), width).astype(np.float32)
    moved = (books - centre.reshape(m, 1, width)) * scale.reshape(m, 1, width)
    bias = (moved.astype(np.float64) ** 2).sum(axis=2) / 2
    threads = int(rng.choice([32, 64]))
    bytes_of_code = -(-m * nbits // 8)
    codes = GuardedArray((count, bytes_of_code + 1), np.uint8, rng)
    shim.launch(
        *(f"pq_encode_{name}", (-(-count // threads), bytes_of_code), (threads,)),
        *(noisy(rows, rng), np.uint64(dim), np.uint32(count), centre, scale),
        *(np.ascontiguousarray(-moved.astype(np.float32)), bias.astype(np.float32)),
        *(np.float32(LIMIT), np.uint32(m), np.uint32(width), np.uint32(nbits)),
        *(codes.array, np.uint64(bytes_of_code + 1)),
        shared=4 * width * (k + threads) * (8 // nbits),
        seed=seed,
    )
    return codes.check()[:, :bytes_of_code]


def unpacked(codes: np.ndarray, m: int, nbits: int) -> np.ndarray:
    """Return the numbers of every sub-quantizer."""
    if nbits == 8:
        return codes
    return np.stack([codes & 15, codes >> 4], axis=2).reshape(len(codes), -1)[:, :m]


def check(shim: Shim, seed: int, name: str, nbits: int) -> None:
    """Whole numbers: distances are exact, so ties are ties."""
    rng = np.random.default_rng(seed)
    m, width, count = int(rng.integers(1, 6)), int(rng.integers(1, 5)), int(rng.integers(1, 90))
    books = rng.integers(-4, 5, (m, 2**nbits, width)).astype(np.float32)
    books -= np.rint(books.mean(axis=1, keepdims=True))
    books[:, -1] -= books.sum(axis=1)  # the mean is zero: nothing is rounded
    rows = rng.integers(-5, 6, (count, m * width)).astype(DTYPES[name])
    got = unpacked(encode(shim, seed, name, rows, books, nbits), m, nbits)
    parts = rows.astype(np.float64).reshape(count, m, 1, width)
    wanted = ((parts - books.astype(np.float64)) ** 2).sum(axis=3).argmin(axis=2)
    np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("nbits", [4, 8])
@pytest.mark.parametrize("name", DTYPES)
def test_the_nearest_centroids(shim: Shim, name: str, nbits: int) -> None:
    @settings(max_examples=6, deadline=None, derandomize=True)
    @given(st.integers(0, 2**32))
    def run(seed: int) -> None:
        check(shim, seed, name, nbits)

    run()


@pytest.mark.parametrize("nbits", [4, 8])
def test_the_engine_says_the_same(shim: Shim, nbits: int) -> None:
    rows = np.random.default_rng(4).standard_normal((700, 24)).astype(np.float32)
    quantizer = nf.quant.ProductQuantizer(m=6, nbits=nbits).train(rows)
    got = encode(shim, 1, "f32", rows, quantizer.codebooks, nbits)
    np.testing.assert_array_equal(got, quantizer.encode(rows))


FAULTS = {
    "no barrier before the centroids are read": (
        "    __syncthreads();\n    if (row",
        "    if (row",
    ),
    "ties go to the larger number": ("if (sum[i] < best)", "if (sum[i] <= best)"),
    "the last sub-quantizer is left out": ("s < subs; ++s", "s + 1 < subs; ++s"),
    "a row past the last is encoded": ("if (row >= count) return;", ""),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_caught(compiler: ShimCompiler, fault: str) -> None:
    planted = compiler.planted("pq_encode.cu", FAULTS[fault])
    assert is_noticed(lambda seed: check(planted, seed, "f32", 4), 12), "nobody noticed"
