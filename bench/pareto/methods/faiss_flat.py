"""faiss-cpu IndexFlat: exact float32."""

from __future__ import annotations

from typing import Any

from bench.pareto.judge import Array
from bench.pareto.methods.base import Method, required


class FaissFlat(Method):
    """IndexFlatIP or IndexFlatL2; the whole batch goes in, as its size picks the algorithm."""

    name = "faiss-flat"
    family = "exact"
    package = "faiss-cpu"
    modules = ("faiss",)

    def build(self, base: Array, metric: str, threads: int) -> None:
        """Copy the rows."""
        self._faiss: Any = required("faiss")
        self.set_threads(threads)
        kind = self._faiss.IndexFlatIP if metric == "ip" else self._faiss.IndexFlatL2
        self._index = kind(base.shape[1])
        self._index.add(base)

    def set_threads(self, threads: int) -> None:
        """faiss's own OpenMP runtime."""
        self._faiss.omp_set_num_threads(threads)

    def search(self, queries: Array, k: int) -> Array:
        """Search the batch in one call."""
        ids: Array = self._index.search(queries, k)[1]
        return ids

    def isa(self) -> str:
        """Run-time level, where this release tells it."""
        level: Any = getattr(self._faiss, "SIMDConfig", None)
        return str(level.get_level_name()) if hasattr(level, "get_level_name") else ""
