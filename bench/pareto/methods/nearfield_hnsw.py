"""nearfield.HNSWIndex: a graph over the rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from bench.pareto.judge import Array
from bench.pareto.methods.base import Method, Params, UnsupportedDataError, required
from bench.pareto.methods.faiss_hnsw import BREADTHS


class NearfieldHnsw(Method):
    """m 32 and ef_construction 200 over float32 rows, as faiss's graph has them."""

    name = "nearfield-hnsw"
    family = "graph"
    package = "nearfield"
    modules = ("nearfield",)
    storage: ClassVar[str] = "float32"
    links: ClassVar[int] = 32

    def build(self, base: Array, metric: str, threads: int) -> None:
        """Add the rows to an empty graph."""
        self._nearfield: Any = required("nearfield")
        kind = getattr(self._nearfield, "HNSWIndex", None)
        if kind is None:
            raise UnsupportedDataError("this version of nearfield has no HNSWIndex")
        self._threads, self._params = threads, {"ef_search": BREADTHS[0]}
        self._index = kind(
            base.shape[1],
            m=self.links,
            metric=metric,
            ef_construction=200,
            quantizer=self.storage,
        )
        self._index.add(base, threads=threads)

    def set_threads(self, threads: int) -> None:
        """Threads are an argument of each call."""
        self._threads = threads

    def sweep(self, k: int) -> Sequence[Sequence[Params]]:
        """Breadth of the search."""
        return [[{"ef_search": breadth} for breadth in BREADTHS if breadth >= k]]

    def configure(self, params: Params) -> None:
        """Keep the parameters for the calls to come."""
        self._params = dict(params)

    def search(self, queries: Array, k: int) -> Array:
        """Search through the public API, result object included."""
        ids: Array = self._index.search(queries, k, threads=self._threads, **self._params).ids
        return ids

    def isa(self) -> str:
        """Level in use in this process."""
        return str(self._nearfield.isa())


class NearfieldHnswFloat16(NearfieldHnsw):
    """The same over float16 rows, half of the bytes."""

    name = "nearfield-hnsw-f16"
    storage = "float16"
