"""Kernels at every level, reached through the narrowest public call, on one thread.

``Stream`` is one query against rows that do not fit the nearest caches: memory and the single-query
kernel. ``Panel`` is a block of queries against rows that do: arithmetic and the fused selection.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .slices import Array, library

LEVELS = ["portable", "avx2", "avx512", "amx"]
STORAGES = ["float32", "float16", "bfloat16", "int8", "uint8"]


def _rows(count: int, dim: int, storage: str) -> Array:
    """Random whole numbers that every storage holds without loss, in a type that it takes."""
    rng = np.random.default_rng(0)
    low = 0 if storage == "uint8" else -127
    kind = storage if storage in ("int8", "uint8") else "float32"
    return rng.integers(low, 128, (count, dim)).astype(kind)


class _Kernel:
    rows: int
    queries: int

    def setup(self, level: str, storage: str, metric: str, dim: int) -> None:
        nearfield = library(level)
        self.index: Any = nearfield.FlatIndex(dim, metric, quantizer=storage)
        self.index.add(_rows(self.rows, dim, storage))
        self.asked = _rows(self.queries, dim, storage).astype(np.float32) + 0.25
        self.index.search(self.asked[:1], 10, threads=1)


class Stream(_Kernel):
    """One query, 40,000 rows."""

    params = (LEVELS, STORAGES, ["ip", "l2"], [384])
    param_names = ("level", "storage", "metric", "dim")
    rows, queries = 40_000, 1

    def time_one_query(self, level: str, storage: str, metric: str, dim: int) -> None:
        self.index.search(self.asked, 10, threads=1)


class Panel(_Kernel):
    """512 queries, 4,096 rows; 100 dimensions leave a tail in every vector width."""

    params = (LEVELS, STORAGES, ["ip", "l2"], [100, 384])
    param_names = ("level", "storage", "metric", "dim")
    rows, queries = 4_096, 512

    def time_block(self, level: str, storage: str, metric: str, dim: int) -> None:
        self.index.search(self.asked, 10, threads=1)
