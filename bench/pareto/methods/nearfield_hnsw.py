"""nearfield.HNSWIndex: a graph over the rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from bench.pareto.judge import Array
from bench.pareto.methods.base import Params, UnsupportedDataError, required
from bench.pareto.methods.faiss_hnsw import BREADTHS
from bench.pareto.methods.nearfield_flat import as_bytes
from bench.pareto.methods.nearfield_index import NearfieldIndex

MARGINS = (0.0, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08, 0.09, 0.1, 0.12, 0.15, 0.2)


class NearfieldHnsw(NearfieldIndex):
    """m 32 and ef_construction 200 over float32 rows, as faiss's graph has them."""

    name = "nearfield-hnsw"
    family = "graph"
    storage: ClassVar[str] = "float32"
    links: ClassVar[int] = 32

    def build(self, base: Array, metric: str, threads: int) -> None:
        """Add the rows to an empty graph."""
        self._nearfield = required("nearfield")
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
        self._index.add(self._stored(base), threads=threads)

    def _stored(self, base: Array) -> Array:
        return base

    def sweep(self, k: int) -> Sequence[Sequence[Params]]:
        """Breadth of the search; or the margin that ends it, for two shares that are re-ranked."""
        return [
            [{"ef_search": breadth} for breadth in BREADTHS if breadth >= k],
            [{"margin": margin} for margin in MARGINS],
            [{"margin": margin, "rerank": 3 * k // 2} for margin in MARGINS],
        ]


class NearfieldHnswFloat16(NearfieldHnsw):
    """The same over float16 rows, half of the bytes."""

    name = "nearfield-hnsw-f16"
    storage = "float16"


class NearfieldHnswBytes(NearfieldHnsw):
    """The same over uint8 rows, for data that are bytes."""

    name = "nearfield-hnsw-u8"
    storage = "uint8"

    def _stored(self, base: Array) -> Array:
        return as_bytes(base)


class NearfieldHnswSixteen(NearfieldHnswFloat16):
    """With half as many links."""

    name = "nearfield-hnsw16"
    links = 16
