"""RaBitQ-Library: SymphonyQG, a graph whose edges carry one-bit codes of what they lead to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from bench.pareto.judge import Array
from bench.pareto.methods.base import Method, Params, required
from bench.pareto.methods.faiss_hnsw import BREADTHS


class RabitqlibSymqg(Method):
    """32 edges a row, raw rows to score by; one code path for a query, another for a batch."""

    name = "rabitqlib-symqg"
    family = "graph"
    package = "rabitqlib"
    modules = ("rabitqlib",)
    degree: ClassVar[int] = 32
    bits: ClassVar[int] = 0

    def build(self, base: Array, metric: str, threads: int) -> None:
        """Build the graph and its codes."""
        library = required("rabitqlib")
        self._index: Any = library.SymqgIndex(
            base.shape[1], self.degree, metric, quantization_bits=self.bits
        )
        self._index.build(base, 200, num_threads=threads)
        self._threads, self._breadth = threads, BREADTHS[0]

    def set_threads(self, threads: int) -> None:
        """Threads are an argument of each call."""
        self._threads = threads

    def sweep(self, k: int) -> Sequence[Sequence[Params]]:
        """Breadth of the search."""
        return [[{"ef": breadth} for breadth in BREADTHS if breadth >= k]]

    def configure(self, params: Params) -> None:
        """Remember: it is an argument of each call."""
        self._breadth = params["ef"]

    def search(self, queries: Array, k: int) -> Array:
        """Search one query, or the batch in one call: two entry points."""
        search = self._index.search if len(queries) == 1 else self._index.search_batch
        found = search(queries, k, self._breadth, num_threads=self._threads)
        ids: Array = next(part for part in map(np.asarray, found) if part.dtype.kind in "iu")
        return ids


class RabitqlibSymqgBytes(RabitqlibSymqg):
    """Eight bits a dimension in place of raw rows."""

    name = "rabitqlib-symqg8"
    bits = 8
