"""faiss-cpu inverted file over 4-bit fast-scan product codes, re-ranked by the raw vectors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from bench.pareto.judge import Array
from bench.pareto.methods.base import Method, Params, required

PROBES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


def list_count(rows: int) -> int:
    """Inverted lists for so many rows: the power of two nearest to 2.5 times the square root."""
    return int(2 ** round(math.log2(2.5 * math.sqrt(rows))))


class FaissIvfPqFs(Method):
    """``IVF{n},PQ{d/2}x4fs,RFlat``."""

    name = "faiss-ivf-pqfs"
    family = "ivf"
    package = "faiss-cpu"
    modules = ("faiss",)

    def build(self, base: Array, metric: str, threads: int) -> None:
        """Train the lists and codebooks on the rows, then add them."""
        self._faiss: Any = required("faiss")
        self.set_threads(threads)
        rows, dim = base.shape
        parts = next(count for count in range(max(1, dim // 2), 0, -1) if dim % count == 0)
        self._lists = list_count(rows)
        kind = self._faiss.METRIC_INNER_PRODUCT if metric == "ip" else self._faiss.METRIC_L2
        spec = f"IVF{self._lists},PQ{parts}x4fs,RFlat"
        self._index = self._faiss.index_factory(dim, spec, kind)
        self._index.train(base)
        self._index.add(base)
        self._inverted = self._faiss.extract_index_ivf(self._index)

    def set_threads(self, threads: int) -> None:
        """faiss's own OpenMP runtime."""
        self._faiss.omp_set_num_threads(threads)

    def sweep(self, k: int) -> Sequence[Sequence[Params]]:
        """Lists visited, and how many times k candidates are re-ranked."""
        factors = (4, 12, 40) if k <= 20 else (2, 4, 10)
        return [
            [{"nprobe": p, "k_factor": factor} for p in PROBES if p <= self._lists]
            for factor in factors
        ]

    def configure(self, params: Params) -> None:
        """Set both."""
        self._inverted.nprobe = params["nprobe"]
        self._faiss.downcast_index(self._index).k_factor = params["k_factor"]

    def search(self, queries: Array, k: int) -> Array:
        """Search the batch in one call."""
        ids: Array = self._index.search(queries, k)[1]
        return ids
