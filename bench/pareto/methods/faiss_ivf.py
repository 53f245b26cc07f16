"""faiss-cpu inverted files over fast-scan codes, re-ranked by the raw vectors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

from bench.pareto.judge import Array
from bench.pareto.methods.base import Method, Params, required

PROBES = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)


def list_count(rows: int) -> int:
    """Inverted lists for so many rows: the power of two nearest to 2.5 times the square root."""
    return int(2 ** round(math.log2(2.5 * math.sqrt(rows))))


def sub_quantizers(dim: int) -> int:
    """Codes of four bits per vector: one for two dimensions, or the next number that divides."""
    return next(count for count in range(max(1, dim // 2), 0, -1) if dim % count == 0)


class FaissIvfPqFs(Method):
    """``IVF{n},PQ{d/2}x4fs,RFlat``, coding residuals (``x4fsr``) where that costs nothing.

    For inner products a residual's tables are those of the query plus a constant, so recall rises
    at the same speed; for distances every list needs tables of its own, several times slower.
    """

    name = "faiss-ivf-pqfs"
    family = "ivf"
    package = "faiss-cpu"
    modules = ("faiss",)
    spec: ClassVar[str] = "IVF{lists},PQ{parts}x4fs{residual},RFlat"
    factors: ClassVar[tuple[int, ...]] = (4, 10, 25, 64)

    def build(self, base: Array, metric: str, threads: int) -> None:
        """Train the lists and codes on the rows, then add them."""
        self._faiss: Any = required("faiss")
        self.set_threads(threads)
        rows, dim = base.shape
        self._lists = list_count(rows)
        kind = self._faiss.METRIC_INNER_PRODUCT if metric == "ip" else self._faiss.METRIC_L2
        spec = self.spec.format(
            lists=self._lists, parts=sub_quantizers(dim), residual="r" if metric == "ip" else ""
        )
        self._index = self._faiss.index_factory(dim, spec, kind)
        self._index.train(base)
        self._index.add(base)
        self._refined = self._faiss.downcast_index(self._index)
        self._inverted = self._faiss.extract_index_ivf(self._index) if "IVF" in spec else None

    def set_threads(self, threads: int) -> None:
        """faiss's own OpenMP runtime."""
        self._faiss.omp_set_num_threads(threads)

    def sweep(self, k: int) -> Sequence[Sequence[Params]]:
        """Lists visited, and how many times k candidates are re-ranked."""
        factors = self.factors if k <= 20 else (2, 4, 10)
        return [
            [{"nprobe": p, "k_factor": factor} for p in PROBES if p <= self._lists]
            for factor in factors
        ]

    def configure(self, params: Params) -> None:
        """Set both."""
        if self._inverted is not None:
            self._inverted.nprobe = params["nprobe"]
        self._refined.k_factor = params["k_factor"]

    def search(self, queries: Array, k: int) -> Array:
        """Search the batch in one call."""
        ids: Array = self._index.search(queries, k)[1]
        return ids


class FaissIvfRabitqFs(FaissIvfPqFs):
    """``IVF{n},RaBitQfs,RFlat``: one bit a dimension, so more candidates are re-ranked."""

    name = "faiss-ivf-rabitqfs"
    spec = "IVF{lists},RaBitQfs,RFlat"
    factors = (10, 25, 64, 160)
