"""PQ codes by Triton kernels: those of the CPU and of the definition, ties to the first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nearfield as nf
import numpy as np
import pytest
from oracle import quantizers as oracle

torch = pytest.importorskip("torch")
pytest.importorskip("triton")
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy, of what overflows

import nearfield.triton as nt
from interpreted.tensors import DTYPES, assert_caught, tensor
from nearfield.triton import products


def trained(m: int, nbits: int, dim: int) -> Any:
    x = np.random.default_rng(0).standard_normal((1 << (nbits + 1), dim)).astype(np.float32)
    return nf.quant.ProductQuantizer(m, nbits).train(x)


@pytest.mark.parametrize(("m", "nbits", "dim"), [(4, 8, 32), (3, 4, 15), (5, 6, 15)])
def test_codes_are_those_of_the_cpu(m: int, nbits: int, dim: int) -> None:
    pq = trained(m, nbits, dim)
    x = np.random.default_rng(1).standard_normal((53, dim)).astype(np.float32)
    codes = nt.encode(tensor(x), pq)
    assert codes.dtype == torch.uint8
    np.testing.assert_array_equal(codes.numpy(), pq.encode(x))
    expected = oracle.pack(oracle.product_encode(x, pq.codebooks), nbits)
    np.testing.assert_array_equal(codes.numpy(), expected)


@pytest.mark.parametrize("scale", [1.0, 1e-20, 1e18, 1e30])
def test_hard_codebooks(scale: float) -> None:
    """Equal and nearly equal centroids, rows half-way between two, lengths near both ends."""
    rng = np.random.default_rng(2)
    books = rng.integers(-2, 3, (3, 64, 4)).astype(np.float32)
    books[:, 32:48] = np.nextafter(books[:, :16], np.float32(9))
    x = np.concatenate([books[:, 40].reshape(1, 12), (books[:, 3] + books[:, 9]).reshape(1, 12) / 2,
                        rng.integers(-3, 4, (20, 12)) / 2, np.zeros((1, 12))])  # fmt: skip
    x, books = np.float32(x * scale), np.float32(books * scale)
    numbers = products._numbers(tensor(x), tensor(books))
    np.testing.assert_array_equal(numbers.numpy(), oracle.product_encode(x, books))


@pytest.mark.parametrize("storage", DTYPES)
def test_storages(storage: str) -> None:
    pq = trained(4, 5, 20)
    x = torch.from_numpy(np.random.default_rng(3).standard_normal((9, 20))).to(DTYPES[storage])
    expected = pq.encode(x.float().numpy())
    np.testing.assert_array_equal(nt.encode(x, pq).numpy(), expected)
    assert nt.encode(x[:0], pq).shape == (0, 3)


FAULTS = {
    "no doubt": ("kernels.encode", "tl.where(sure, 0, 1)", "tl.where(sure, 0, 0)"),
    "the last of equal ones": ("kernels.encode", "where = tl.where(least < best",
                               "where = tl.where(least <= best"),
    "a centroid off the end": ("kernels.encode", "centroid[None, :] < k, value",
                               "centroid[None, :] < k - 1, value"),
    "a part off the end": ("kernels.encode", "column[None, :] < width",
                           "column[None, :] < width - 1"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_caught(
    fault: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert_caught(monkeypatch, tmp_path, FAULTS[fault], codes)


def codes() -> None:
    """Run what each of the faults shows in."""
    test_hard_codebooks(1.0)
    test_codes_are_those_of_the_cpu(3, 4, 15)
