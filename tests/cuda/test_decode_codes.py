"""decode_codes: the very bits that quantizers decode, whatever bytes a code has."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cuda.shim_library import GuardedArray, Overlaid, Shim, ShimCompiler, is_noticed, noisy
from cuda.test_scan import canonical
from nearfield._core import Quantizer, cuda

FORMS = ("sq8", "sq4", "pq", "opq", "rabitq1", "rabitq3", "rabitq8")


def sample(rng: np.random.Generator, n: int, dim: int) -> np.ndarray:
    rows = rng.standard_normal((n, dim)) * 10.0 ** rng.integers(-3, 4, (n, 1))
    rows[:, 0] += 100
    return rows.astype(np.float32)


def trained(form: str, rng: np.random.Generator) -> Quantizer:
    """Return a quantizer of any dimension, trained."""
    dim = int(rng.integers(1, 70))
    name = form
    if form in ("pq", "opq"):
        m, width, bits = (int(rng.integers(1, high)) for high in (8, 5, 4))
        dim, name = m * width, f"{form}{m}x{3 + bits}"
    quantizer = Quantizer(name, dim)
    quantizer.train(sample(rng, 300, dim), 5, 1)
    return quantizer


def apart(codes: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.uint64]:
    """Return codes with any bytes between them, and how far apart they then are."""
    stride = codes.shape[1] + int(rng.integers(0, 3))
    wide = rng.integers(0, 256, (len(codes), stride), np.uint8)
    wide[:, : codes.shape[1]] = codes
    return noisy(wide, rng), np.uint64(stride)


def check(shim: Shim | Overlaid, form: str, seed: int, in_shared: bool = True) -> None:
    """Decode codes of rows and codes of any bytes."""
    rng = np.random.default_rng(seed)
    quantizer = trained(form, rng)
    count, dim, size = int(rng.integers(1, 20)), quantizer.dim, quantizer.code_size
    codes = quantizer.encode(sample(rng, count, dim), 1)
    if not form.startswith("rabitq"):
        codes[count // 2 :] = rng.integers(0, 256, codes[count // 2 :].shape)
    elif count > 2:
        codes[1, :16].view(np.float32)[0] = -1.0  # a scale that no row has
        codes[2, :16].view(np.float32)[3] = np.nan
    decoding = cuda.decoding_of(quantizer)
    stride = -(-dim // 8) * 8
    rows = GuardedArray((count, stride), np.float32, rng)
    table = noisy(decoding.table(), rng)
    parts = (*apart(codes, rng), np.uint32(dim), np.uint32(decoding.bits))
    out = (rows.array, np.uint64(stride))
    grid = (count,), (64,)
    if form.startswith("sq"):
        shim.launch("decode_scalar", *grid, *parts, np.uint32(size), table, *out, seed=seed)
    elif "pq" in form:
        sizes = np.uint32(size), np.uint32(decoding.width)
        shim.launch("decode_books", *grid, *parts, *sizes, table, *out, seed=seed)
    else:
        rotation = (decoding.rotated_dim, decoding.window, decoding.rounds)
        shared = 4 * decoding.rotated_dim if in_shared else 0
        shim.launch(
            *("decode_grid", *grid, *parts, *map(np.uint32, rotation), table),
            *(np.uint32(in_shared), *out),
            shared=shared,
            seed=seed,
        )
    # Of a quantizer that rotates, rows come out rotated.
    wanted = decoded_books(decoding, codes) if form == "opq" else quantizer.decode(codes, 1)
    got = rows.check()
    np.testing.assert_array_equal(got[:, :dim].view(np.uint32), wanted.view(np.uint32))


def check_books(shim: Shim | Overlaid, seed: int) -> None:
    """Decode numbers of any width, against a look-up."""
    rng = np.random.default_rng(seed)
    count, m, width = (int(rng.integers(1, most)) for most in (40, 9, 6))
    bits, dim = int(rng.choice([4, 5, 8])), m * width
    books = rng.standard_normal((m, 2**bits, width)).astype(np.float32)
    numbers = rng.integers(0, 2**bits, (count, m))
    each = numbers[:, :, None] >> np.arange(bits) & 1
    codes = np.packbits(each.reshape(count, -1).astype(np.uint8), axis=1, bitorder="little")
    rows = GuardedArray((count, dim), np.float32, rng)
    shim.launch(
        *("decode_books", (count,), (64,), *apart(codes, rng)),
        *map(np.uint32, (dim, bits, codes.shape[1], width)),
        *(noisy(books, rng), rows.array, np.uint64(dim)),
        seed=seed,
    )
    np.testing.assert_array_equal(rows.check(), books[np.arange(m), numbers].reshape(count, -1))


def decoded_books(decoding: Any, codes: np.ndarray) -> np.ndarray:
    """Return the definition: number j of a code names a centroid of sub-space j."""
    bits, width = decoding.bits, decoding.width
    book = decoding.table().reshape(-1, 1 << bits, width)
    stream = np.unpackbits(codes, axis=1, bitorder="little")[:, : len(book) * bits]
    numbers = stream.reshape(len(codes), -1, bits) @ (1 << np.arange(bits))
    return np.concatenate([book[j][numbers[:, j]] for j in range(len(book))], axis=1)


def check_rotation(shim: Shim | Overlaid, seed: int) -> None:
    """Queries are rotated to the bits of the engine's sums."""
    rng = np.random.default_rng(seed)
    count, dim = (int(rng.integers(1, high)) for high in (6, 50))
    queries = rng.standard_normal((count, dim)).astype(np.float32)
    rotation = rng.standard_normal((dim, dim)).astype(np.float32)
    out = GuardedArray((count, dim), np.float32, rng)
    parts = (noisy(queries, rng), np.uint32(dim), noisy(rotation, rng), out.array)
    shim.launch("rotate_queries", (count, 2), (64,), *parts, seed=seed)
    products = queries.astype(np.float64)[:, None] * rotation.astype(np.float64)
    np.testing.assert_array_equal(out.check(), canonical(products).astype(np.float32))


def check_places(shim: Shim | Overlaid, seed: int) -> None:
    """Pairs stand in their half, rows counted from the slice's first; what is not asked stays."""
    rng = np.random.default_rng(seed)
    count, found, k = (int(rng.integers(1, high)) for high in (5, 40, 100))
    keys = rng.standard_normal((count, found))
    rows = rng.integers(0, 1000, (count, found)).astype(np.uint32)
    rows[:, -1], none = 2**32 - 1, np.uint32(2**32 - 1)
    lengths = rng.integers(0, 2, count).astype(np.uint32)
    first, place = int(rng.integers(0, 9999)), k if seed % 2 else 0
    out_keys = GuardedArray((count, 2 * k), np.float64, rng)
    out_rows = GuardedArray((count, 2 * k), np.uint32, rng)
    wanted_keys, wanted_rows = out_keys.array.copy(), out_rows.array.copy()
    for q in np.flatnonzero(lengths):
        half = slice(place, place + k)
        wanted_keys[q, half], wanted_rows[q, half] = -np.inf, none
        n = min(found - 1, k)
        wanted_keys[q, place : place + n] = keys[q, :n]
        wanted_rows[q, place : place + n] = rows[q, :n] + first
    parts = (
        keys,
        rows,
        np.uint32(found),
        np.uint32(first),
        lengths,
        np.uint32(k),
        np.uint32(place),
    )
    shim.launch("place_pairs", (count,), (64,), *parts, out_keys.array, out_rows.array, seed=seed)
    np.testing.assert_array_equal(out_rows.array, wanted_rows)
    np.testing.assert_array_equal(out_keys.array, wanted_keys)


def test_rotations_and_places(shim: Shim) -> None:
    for seed in range(20):
        check_rotation(shim, seed)
        check_places(shim, seed)


@pytest.mark.parametrize("form", FORMS)
def test_any_code(shim: Shim, form: str) -> None:
    for seed in range(12):
        check(shim, form, seed)


def test_numbers_of_books(shim: Shim) -> None:
    for seed in range(12):
        check_books(shim, seed)


def test_rows_that_do_not_fit_a_block(shim: Shim) -> None:
    for seed in range(6):
        check(shim, "rabitq4", seed, in_shared=False)


FAULTS = {
    "a number that crosses bytes is cut": ("pq", "if (at + 1 < size)", "if (false)"),
    "codes lie one behind the other": (
        *("sq8", "codes + blockIdx.x * code_stride", "codes + blockIdx.x * u64{dim}"),
    ),
    "halves change places": ("books", ">> (first % 8)", ">> (4 - first % 8)"),
    "the first book for all parts": ("books", "static_cast<u64>(book) << bits", "u64{0}"),
    "a cell's width is fused": (
        *("sq8", "table[dim + k] * number + table[k]", "fmaf(table[dim + k], number, table[k])"),
    ),
    "a barrier between strides is left out": (
        *("rabitq3", "    x[low + h] = a - b;\n    }\n    __syncthreads();", ""),
    ),
    "rounds go forwards": ("rabitq3", "r % 2 == 0 ? 0 : rounds", "r % 2 != 0 ? 0 : rounds"),
    "halves do not meet": (
        "rabitq3",
        "if (rounds.window != rounds.dim) butter",
        "if (false) butter",
    ),
    "bytes that no row has are trusted": ("rabitq1", "return sound ?", "return true ?"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_caught(shim: Shim, compiler: ShimCompiler, fault: str) -> None:
    form, old, new = FAULTS[fault]
    if not new:
        new = old.replace("    __syncthreads();", "")
    planted = Overlaid(compiler.planted("decode_codes.cu", (old, new)), shim)

    def checked(seed: int) -> None:
        if form == "books":
            check_books(planted, seed)
        else:
            check(planted, form, seed)

    assert is_noticed(checked, 12), "nobody noticed"
