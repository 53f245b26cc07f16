"""usearch: HNSW over float32."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bench.pareto.judge import Array
from bench.pareto.methods.base import Method, Params, required
from bench.pareto.methods.faiss_hnsw import BREADTHS


class UsearchHnsw(Method):
    """Connectivity 16, expansion at build 128: the library's defaults."""

    name = "usearch-hnsw"
    family = "graph"
    package = "usearch"
    modules = ("usearch.index",)

    def build(self, base: Array, metric: str, threads: int) -> None:
        """Build the graph."""
        library = required("usearch.index")
        kind = "ip" if metric == "ip" else "l2sq"
        self._index = library.Index(ndim=base.shape[1], metric=kind, dtype="f32")
        self._index.add(np.arange(len(base), dtype=np.uint64), base, threads=threads)
        self._threads = threads

    def set_threads(self, threads: int) -> None:
        """Threads are an argument of each call."""
        self._threads = threads

    def sweep(self, k: int) -> Sequence[Sequence[Params]]:
        """Breadth of the search."""
        return [[{"expansion_search": breadth} for breadth in BREADTHS if breadth >= k]]

    def configure(self, params: Params) -> None:
        """Set the breadth."""
        self._index.expansion_search = params["expansion_search"]

    def search(self, queries: Array, k: int) -> Array:
        """Search the batch in one call; a single query goes in as a vector."""
        asked = queries[0] if len(queries) == 1 else queries
        matches = self._index.search(asked, k, threads=self._threads)
        return matches.keys.reshape(len(queries), -1)  # type: ignore[no-any-return]

    def isa(self) -> str:
        """Kernel family the index chose."""
        return str(self._index.hardware_acceleration)
