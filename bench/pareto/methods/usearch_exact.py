"""usearch: exact search over a plain array."""

from __future__ import annotations

from typing import Any

from bench.pareto.judge import Array
from bench.pareto.methods.base import Method, required


class UsearchExact(Method):
    """``usearch.index.search(..., exact=True)``; queries are independent inside it."""

    name = "usearch-exact"
    family = "exact"
    package = "usearch"
    modules = ("usearch.index",)
    chunk = 64
    borrows_base = True

    def build(self, base: Array, metric: str, threads: int) -> None:
        """Keep the rows."""
        self._library: Any = required("usearch.index")
        kinds = self._library.MetricKind
        self._kind = kinds.IP if metric == "ip" else kinds.L2sq
        self._base, self._threads = base, threads

    def set_threads(self, threads: int) -> None:
        """Threads are an argument of each call."""
        self._threads = threads

    def search(self, queries: Array, k: int) -> Array:
        """Search the batch in one call; a single query must go in as a vector."""
        asked = queries[0] if len(queries) == 1 else queries
        matches = self._library.search(
            self._base, asked, k, self._kind, exact=True, threads=self._threads
        )
        return matches.keys.reshape(len(queries), -1)  # type: ignore[no-any-return]
