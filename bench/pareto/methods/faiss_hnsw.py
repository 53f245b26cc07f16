"""faiss-cpu HNSW over float32."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.pareto.judge import Array
from bench.pareto.methods.base import Method, Params, required

BREADTHS = (10, 16, 24, 40, 64, 100, 160, 256, 400, 640, 1024)


class FaissHnsw(Method):
    """HNSW32 with efConstruction 200."""

    name = "faiss-hnsw"
    family = "graph"
    package = "faiss-cpu"
    modules = ("faiss",)

    def build(self, base: Array, metric: str, threads: int) -> None:
        """Build the graph."""
        self._faiss: Any = required("faiss")
        self.set_threads(threads)
        kind = self._faiss.METRIC_INNER_PRODUCT if metric == "ip" else self._faiss.METRIC_L2
        self._index = self._faiss.IndexHNSWFlat(base.shape[1], 32, kind)
        self._index.hnsw.efConstruction = 200
        self._index.add(base)

    def set_threads(self, threads: int) -> None:
        """faiss's own OpenMP runtime."""
        self._faiss.omp_set_num_threads(threads)

    def sweep(self, k: int) -> Sequence[Sequence[Params]]:
        """Breadth of the search."""
        return [[{"efSearch": breadth} for breadth in BREADTHS if breadth >= k]]

    def configure(self, params: Params) -> None:
        """Set the breadth."""
        self._index.hnsw.efSearch = params["efSearch"]

    def search(self, queries: Array, k: int) -> Array:
        """Search the batch in one call."""
        ids: Array = self._index.search(queries, k)[1]
        return ids
