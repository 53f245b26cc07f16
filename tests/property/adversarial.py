"""Data that exact search gets wrong first: ties, twins, near ties, wild norms, lone big dimensions.

Every case is rows in a storage type and float32 queries, drawn from a seed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from oracle import dense

Make = Callable[[Generator, int, int], np.ndarray]
INTEGERS = {"int8": (-128, 127), "uint8": (0, 255)}


class Case(NamedTuple):
    """One search problem; `exact` promises integer values whose sums float64 holds exactly."""

    rows: np.ndarray
    queries: np.ndarray
    exact: bool

    def widened(self, storage: str) -> np.ndarray:
        """Return the stored rows as float64."""
        return dense.widen(self.rows, storage)


def gaussian(rng: Generator, n: int, dim: int) -> np.ndarray:
    return rng.standard_normal((n, dim))


def ties(rng: Generator, n: int, dim: int) -> np.ndarray:
    return rng.integers(-2, 3, (n, dim)).astype(float)


def twins(rng: Generator, n: int, dim: int) -> np.ndarray:
    few = rng.standard_normal((max(1, n // 20), dim))
    return few[rng.integers(0, len(few), n)]


def near_ties(rng: Generator, n: int, dim: int) -> np.ndarray:
    base = np.float32(rng.standard_normal((1, dim)))
    step = rng.integers(-2, 3, (n, dim)).astype(np.float32) * np.spacing(base)
    return (base + step).astype(float)


def wild_norms(rng: Generator, n: int, dim: int) -> np.ndarray:
    return rng.standard_normal((n, dim)) * 10.0 ** rng.uniform(-20, 20, (n, 1))


def tiny(rng: Generator, n: int, dim: int) -> np.ndarray:
    return rng.standard_normal((n, dim)) * 1e-20


def huge(rng: Generator, n: int, dim: int) -> np.ndarray:
    return rng.standard_normal((n, dim)) * 1e20


def subnormal(rng: Generator, n: int, dim: int) -> np.ndarray:
    return rng.integers(-9, 10, (n, dim)) * 2.0**-149


def zeros(rng: Generator, n: int, dim: int) -> np.ndarray:
    x = rng.standard_normal((n, dim))
    x[rng.random(n) < 0.5] = 0
    x[rng.random(n) < 0.1] = -0.0
    return x


def outlier(rng: Generator, n: int, dim: int) -> np.ndarray:
    x = rng.standard_normal((n, dim))
    x[:, dim // 2] += 3e4
    return x


def loud(rng: Generator, n: int, dim: int) -> np.ndarray:
    """One dimension varies a hundred times as much as the others: bytes resolve nothing else."""
    x = rng.standard_normal((n, dim))
    x[:, dim // 2] *= 100
    return x


def lone_outlier(rng: Generator, n: int, dim: int) -> np.ndarray:
    x = rng.standard_normal((n, dim)) * 1e-3
    x[n // 3, dim - 1] = 5e4
    return x


def offset(rng: Generator, n: int, dim: int) -> np.ndarray:
    """Far from the origin and close to each other: l2 by norms would cancel to nothing."""
    return 1e4 + rng.standard_normal((n, dim)) * 1e-2


def constant_rows(rng: Generator, n: int, dim: int) -> np.ndarray:
    return np.repeat(rng.integers(-3, 4, (n, 1)).astype(float), dim, axis=1)


def all_equal(rng: Generator, n: int, dim: int) -> np.ndarray:
    return np.repeat(rng.standard_normal((1, dim)), n, axis=0)


def sparse(rng: Generator, n: int, dim: int) -> np.ndarray:
    return rng.standard_normal((n, dim)) * (rng.random((n, dim)) < 0.1)


def full_range(rng: Generator, n: int, dim: int) -> np.ndarray:
    return rng.choice([-1e9, 1e9], (n, dim))  # clipped to both ends of integer storages


KINDS: dict[str, Make] = {
    make.__name__: make
    for make in (
        *(gaussian, ties, twins, near_ties, wild_norms, tiny, huge, subnormal, zeros, outlier),
        *(loud, lone_outlier, offset, constant_rows, all_equal, sparse, full_range),
    )
}
EXACT_KINDS = {"ties", "constant_rows"}
INTEGER_KINDS = ("gaussian", "ties", "twins", "zeros", "constant_rows", "all_equal", "full_range")


def kinds_for(storage: str) -> tuple[str, ...]:
    """Return the kinds of data that mean something in a storage type."""
    return INTEGER_KINDS if storage in INTEGERS else tuple(KINDS)


def stored(x: np.ndarray, storage: str) -> np.ndarray:
    """Round float64 values into a storage type, clipped to its range."""
    if storage in INTEGERS:
        low, high = INTEGERS[storage]
        scaled = x if (x == np.rint(x)).all() else x * 40
        return np.clip(np.rint(scaled) + (100 if low == 0 else 0), low, high).astype(storage)
    single = np.clip(x, -3e38, 3e38).astype(np.float32)
    if storage == "float16":
        return np.clip(single, -6e4, 6e4).astype(np.float16)
    if storage == "bfloat16":
        bits = single.view(np.uint32)
        return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
    return single


def case(kind: str, storage: str, n: int, dim: int, n_queries: int, seed: int) -> Case:
    """Draw a case: half of the queries are stored rows, one is zero, the rest are new."""
    rng = np.random.default_rng([seed, n, dim])
    drawn = stored(KINDS[kind](rng, n + n_queries, dim), storage)
    rows = np.ascontiguousarray(drawn[:n])
    queries = dense.widen(drawn[n:], storage)
    copied = rng.integers(0, n, n_queries)
    half = np.arange(n_queries) % 2 == 0
    queries[half] = dense.widen(rows[copied[half]], storage)
    if n_queries > 2:
        queries[1] = 0
    exact = kind in EXACT_KINDS or storage in INTEGERS
    if storage in INTEGERS and kind == "gaussian":
        queries[half] += rng.standard_normal((int(half.sum()), dim))
        exact = False
    return Case(rows, np.ascontiguousarray(queries, np.float32), exact)
