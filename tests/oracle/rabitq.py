"""Rotated codes by definition, in float64: rotation, grid, decoded rows, estimates, bounds.

Matrices are dense and the grid's scale is the best of all (every value at which some code changes),
so that the engine, which multiplies in n log n and tries a few scales, can be held against both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
HEADER = 16  # four float32: scale, unbiased, norm, along


STREAM = 0x726F74617465
WORD = 2**64 - 1


def splitmix64(state: int) -> tuple[int, int]:
    """Return the next state and 64 mixed bits."""
    state = (state + 0x9E3779B97F4A7C15) & WORD
    z = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & WORD
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & WORD
    return state, z ^ (z >> 31)


def rotation_signs(dim: int, seed: int) -> NDArray[np.bool_]:
    """Return the signs a seed draws (True: minus), rounds x rotated dimension: xoshiro256**."""
    rotated = -(-dim // 8) * 8
    rounds = 3 if rotated & (rotated - 1) == 0 else 4
    state = seed ^ splitmix64(STREAM)[1]
    a = [0] * 4
    for i in range(4):
        state, a[i] = splitmix64(state)
    signs = np.empty(rounds * rotated, bool)
    for i in range(len(signs)):
        product = (a[1] * 5) & WORD
        signs[i] = ((((product << 7) | (product >> 57)) * 9) & WORD) >> 63
        shifted = (a[1] << 17) & WORD
        a[2] ^= a[0]
        a[3] ^= a[1]
        a[1] ^= a[2]
        a[0] ^= a[3]
        a[2] ^= shifted
        a[3] = ((a[3] << 45) | (a[3] >> 19)) & WORD
    return signs.reshape(rounds, rotated)


def hadamard(n: int) -> Array:
    """Return the n x n Hadamard matrix, n a power of two, unnormalised."""
    h = np.ones((1, 1))
    while len(h) < n:
        h = np.block([[h, h], [h, -h]])
    return h


def rotation(signs: NDArray[np.bool_], dim: int) -> Array:
    """Return the matrix of a rotation: rounds of signs (True: minus), windows, halves.

    `signs` is rounds x rotated dimension; the matrix takes column vectors of `dim` elements.
    """
    rounds, n = signs.shape
    window = 1 << (n.bit_length() - 1)
    half = np.eye(n // 2)
    halves = np.block([[half, half], [half, -half]]) / np.sqrt(2.0)
    matrix = np.eye(n)
    for r in range(rounds):
        start = 0 if r % 2 == 0 else n - window
        matrix = np.where(signs[r], -1.0, 1.0)[:, None] * matrix
        part = matrix[start : start + window]
        matrix[start : start + window] = hadamard(window) @ part / np.sqrt(window)
        if window != n:
            matrix = halves @ matrix
    return matrix[:, :dim]


def best_codes(r: Array, bits: int) -> NDArray[np.uint8]:
    """Return the codes of the grid point at the smallest angle to r (any length of r fits one).

    Between two neighbouring critical scales, at which some |r[k]| * scale is a whole number, the
    codes do not change; one scale in each gap is tried.
    """
    half = 2 ** (bits - 1)
    size = np.abs(r)
    steps = np.arange(1, half)
    critical = np.unique(steps[:, None] / size[size > 0][None, :])
    inside = np.concatenate([[0.5], (critical[1:] + critical[:-1]) / 2, critical[-1:] * 2.0])
    scales = inside if len(critical) else np.ones(1)
    levels = np.minimum(np.floor(size * scales[:, None]), half - 1) + 0.5
    quality = (levels @ size) / np.linalg.norm(levels, axis=1)
    best = levels[np.argmax(quality)] * np.where(r < 0, -1.0, 1.0)
    return (best + half - 0.5).astype(np.uint8)


@dataclass(frozen=True)
class Code:
    """One row: bytes a dimension and the factors that turn them into a row or an estimate."""

    codes: NDArray[np.uint8]
    bits: int
    scale: float
    unbiased: float
    norm: float
    along: float

    @property
    def y(self) -> Array:
        return self.codes - (2**self.bits - 1) / 2


def factors(codes: NDArray[np.uint8], bits: int, x: Array, centre: Array, matrix: Array) -> Code:
    """Return the code with the factors that belong to row x."""
    difference = x - centre
    norm = float(np.linalg.norm(difference))
    if norm == 0.0:
        return Code(codes, bits, 0.0, 0.0, 0.0, 0.0)
    y = codes - (2**bits - 1) / 2
    seen = matrix.T @ y  # without the dimensions the rotation adds
    dot = float(difference @ seen)
    along = float(centre @ difference) / norm
    return Code(codes, bits, dot / float(seen @ seen), norm**2 / dot, norm, along)


def encode(x: Array, bits: int, centre: Array, matrix: Array) -> Code:
    """Return the best code of a row."""
    return factors(best_codes(matrix @ (x - centre), bits), bits, x, centre, matrix)


def unpack(code: bytes, bits: int, rotated: int) -> Code:
    """Read the engine's bytes: four float32, then bit planes from the highest down."""
    scale, unbiased, norm, along = np.frombuffer(code[:HEADER], "<f4").astype(np.float64)
    planes = np.frombuffer(code[HEADER:], np.uint8).reshape(bits, rotated // 8)
    set_bits = np.unpackbits(planes, axis=1, bitorder="little")
    codes = (set_bits * (2 ** np.arange(bits - 1, -1, -1, dtype=np.int64))[:, None]).sum(axis=0)
    return Code(codes.astype(np.uint8), bits, scale, unbiased, norm, along)


def decode(code: Code, centre: Array, matrix: Array) -> Array:
    """Return the row nearest to the encoded one among the multiples of its grid point."""
    return centre + code.scale * (matrix.T @ code.y)


def error(code: Code) -> float:
    """Return |e|: how far the unbiased multiple of the grid point is from the row."""
    if code.scale == 0.0:
        return code.norm
    return code.norm * float(np.sqrt(max(code.unbiased / code.scale - 1.0, 0.0)))


def estimate(code: Code, query: Array, metric: str, centre: Array, matrix: Array) -> float:
    """Return the unbiased estimate of a row's score, larger is better."""
    inner = code.unbiased * float((matrix @ (query - centre)) @ code.y)
    if metric == "ip":
        return float(query @ centre) + code.along * code.norm + inner
    return 2.0 * inner - float(np.sum((query - centre) ** 2)) - code.norm**2


def bound(code: Code, query: Array, metric: str, centre: Array, sigmas: float = 0.0) -> float:
    """Return how far the estimate may be off: certainly, or in standard deviations."""
    distance = float(np.linalg.norm(query - centre))
    spread = min(1.0, sigmas / np.sqrt(max(len(query), 2) - 1)) if sigmas else 1.0
    return (1.0 if metric == "ip" else 2.0) * distance * error(code) * float(spread)
