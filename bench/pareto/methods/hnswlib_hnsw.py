"""hnswlib: the reference HNSW."""

from __future__ import annotations

from collections.abc import Sequence

from bench.pareto.judge import Array
from bench.pareto.methods.base import Method, Params, required
from bench.pareto.methods.faiss_hnsw import BREADTHS


class HnswlibHnsw(Method):
    """M 16, ef_construction 200."""

    name = "hnswlib"
    family = "graph"
    package = "hnswlib"
    modules = ("hnswlib",)

    def build(self, base: Array, metric: str, threads: int) -> None:
        """Build the graph."""
        library = required("hnswlib")
        self._index = library.Index(space="ip" if metric == "ip" else "l2", dim=base.shape[1])
        self._index.init_index(max_elements=len(base), ef_construction=200, M=16)
        self._index.add_items(base, num_threads=threads)
        self._threads = threads

    def set_threads(self, threads: int) -> None:
        """Threads are an argument of each call."""
        self._threads = threads

    def sweep(self, k: int) -> Sequence[Sequence[Params]]:
        """Breadth of the search."""
        return [[{"ef": breadth} for breadth in BREADTHS if breadth >= k]]

    def configure(self, params: Params) -> None:
        """Set the breadth."""
        self._index.set_ef(params["ef"])

    def search(self, queries: Array, k: int) -> Array:
        """Search the batch in one call."""
        ids: Array = self._index.knn_query(queries, k, num_threads=self._threads)[0]
        return ids
