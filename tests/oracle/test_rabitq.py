"""The definition of rotated codes against what the papers prove about it."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from oracle import rabitq

RNG = np.random.default_rng(7)


def random_matrix(dim: int, seed: int = 0) -> np.ndarray:
    rotated = -(-dim // 8) * 8
    rounds = 3 if rotated & (rotated - 1) == 0 else 4
    return rabitq.rotation(np.random.default_rng(seed).random((rounds, rotated)) < 0.5, dim)


@pytest.mark.parametrize("dim", [1, 8, 12, 24, 64, 100])
def test_rotations_keep_lengths(dim: int) -> None:
    matrix = random_matrix(dim)
    assert np.allclose(matrix.T @ matrix, np.eye(dim), atol=1e-12)


@pytest.mark.parametrize("bits", [1, 2])
def test_best_codes_are_the_best_of_all(bits: int) -> None:
    for _ in range(20):
        r = RNG.standard_normal(4)
        y = rabitq.best_codes(r, bits) - (2**bits - 1) / 2
        every = np.array(list(product(range(2**bits), repeat=4))) - (2**bits - 1) / 2
        cosines = every @ r / np.linalg.norm(every, axis=1)
        assert y @ r / np.linalg.norm(y) == pytest.approx(cosines.max())


def test_one_bit_is_the_sign() -> None:
    r = RNG.standard_normal(32)
    assert (rabitq.best_codes(r, 1) == (r >= 0)).all()
    for bits in range(2, 9):
        assert (rabitq.best_codes(r, bits) >> (bits - 1) == (r >= 0)).all()


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_errors_are_orthogonal_to_rows_and_as_long_as_stated(bits: int) -> None:
    dim = 20
    matrix, centre = random_matrix(dim), RNG.standard_normal(dim)
    for _ in range(10):
        x = RNG.standard_normal(dim)
        code = rabitq.encode(x, bits, centre, matrix)
        e = x - centre - code.unbiased * (matrix.T @ code.y)
        assert e @ (x - centre) == pytest.approx(0.0, abs=1e-12)
        assert np.linalg.norm(e) == pytest.approx(rabitq.error(code))
        nearest = rabitq.decode(code, centre, matrix)
        for factor in (0.99, 1.01):
            other = centre + factor * (nearest - centre)
            assert np.sum((x - nearest) ** 2) < np.sum((x - other) ** 2)


@pytest.mark.parametrize("metric", ["ip", "l2"])
@pytest.mark.parametrize("bits", [1, 3])
def test_certain_bounds_hold_and_estimates_are_unbiased(metric: str, bits: int) -> None:
    dim = 32
    x, query, centre = RNG.standard_normal((3, dim))
    query = query + x  # an inner product far from zero
    truth = query @ x if metric == "ip" else -np.sum((query - x) ** 2)
    scaled = []
    for seed in range(400):
        matrix = random_matrix(dim, seed)
        code = rabitq.encode(x, bits, centre, matrix)
        off = rabitq.estimate(code, query, metric, centre, matrix) - truth
        assert abs(off) <= rabitq.bound(code, query, metric, centre) * (1 + 1e-12)
        scaled.append(off / rabitq.bound(code, query, metric, centre, sigmas=1.0))
    assert abs(np.mean(scaled)) < 4 / np.sqrt(400)
    assert np.std(scaled) < 1.05


def test_rows_at_the_centre() -> None:
    matrix, centre = random_matrix(8), RNG.standard_normal(8)
    code = rabitq.encode(centre, 4, centre, matrix)
    assert (rabitq.decode(code, centre, matrix) == centre).all()
    assert rabitq.error(code) == 0.0


def test_bytes_are_read_as_they_are_laid_out() -> None:
    header = np.array([0.5, 0.75, 2.0, -1.0], "<f4").tobytes()
    code = rabitq.unpack(header + bytes([0b00000101, 0b00000011]), bits=2, rotated=8)
    assert (code.scale, code.unbiased, code.norm, code.along) == (0.5, 0.75, 2.0, -1.0)
    assert code.codes.tolist() == [3, 1, 2, 0, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("bits", "planes", "scale", "unbiased"),
    [
        (1, [115, 160, 100], 5.156270959, 6.992715921),
        (2, [115, 160, 100, 134, 21, 171], 3.145925083, 3.382408456),
    ],
)
def test_a_row_the_engine_is_tested_with(
    bits: int, planes: list[int], scale: float, unbiased: float
) -> None:
    """The same figures stand in tests/cpp/quant/rabitq.cpp."""
    row = 7.0 * np.arange(20) % 11 - 5
    matrix = rabitq.rotation(rabitq.rotation_signs(20, seed=1), 20)
    code = rabitq.encode(row, bits, np.zeros(20), matrix)
    packed = [np.packbits(code.codes >> b & 1, bitorder="little") for b in range(bits)[::-1]]
    assert np.concatenate(packed).tolist() == planes
    assert (code.scale, code.unbiased) == pytest.approx((scale, unbiased), rel=1e-9)
