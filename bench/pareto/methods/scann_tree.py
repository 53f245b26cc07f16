"""ScaNN: a tree of partitions, anisotropic 4-bit codes, re-ranking."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from bench.pareto.judge import Array
from bench.pareto.methods.base import Method, Params, required
from bench.pareto.methods.faiss_ivf import PROBES, list_count


class ScannTree(Method):
    """tree + score_ah(2) + reorder, as its documentation recommends for sets of this size."""

    name = "scann"
    family = "ivf"
    package = "scann"
    modules = ("scann",)

    def build(self, base: Array, metric: str, threads: int) -> None:
        """Train and build."""
        library = required("scann")
        rows = len(base)
        self._leaves = list_count(rows) if rows > 200_000 else int(2 * math.sqrt(rows))
        kind = "dot_product" if metric == "ip" else "squared_l2"
        builder = library.scann_ops_pybind.builder(base, 10, kind).tree(
            num_leaves=self._leaves,
            num_leaves_to_search=min(50, self._leaves),
            training_sample_size=min(rows, 100_000),
        )
        anisotropic = {"anisotropic_quantization_threshold": 0.2} if metric == "ip" else {}
        builder = builder.score_ah(2, **anisotropic).reorder(100)
        builder.set_n_training_threads(threads)
        self._index: Any = builder.build()
        self._threads, self._params = threads, (1, 100)

    def set_threads(self, threads: int) -> None:
        """Threads of the library's pool."""
        self._index.set_num_threads(threads)
        self._threads = threads

    def sweep(self, k: int) -> Sequence[Sequence[Params]]:
        """Leaves visited, and candidates re-ranked."""
        counts = (30, 100, 250) if k <= 20 else (200, 400, 1000)
        visited = [count for count in PROBES if count <= self._leaves]
        return [[{"leaves": v, "reorder": count} for v in visited] for count in counts]

    def configure(self, params: Params) -> None:
        """Remember both: they are arguments of each call."""
        self._params = (params["leaves"], params["reorder"])

    def search(self, queries: Array, k: int) -> Array:
        """Search one query, a batch, or a batch on several threads: three entry points."""
        leaves, reorder = self._params
        if len(queries) == 1:
            return self._index.search(queries[0], k, reorder, leaves)[0][None]  # type: ignore[no-any-return]
        many = (
            self._index.search_batched_parallel if self._threads > 1 else self._index.search_batched
        )
        return many(queries, k, reorder, leaves)[0]  # type: ignore[no-any-return]
