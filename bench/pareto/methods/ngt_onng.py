"""NGT: ONNG, a neighbourhood graph with its edges chosen anew after the build."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.pareto.judge import Array
from bench.pareto.methods.base import Method, Params, required

EPSILONS = (0.0, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.1, 0.13, 0.16, 0.2, 0.25, 0.3)


class NgtOnng(Method):
    """ANNG with 40 edges a row, turned into an ONNG of 10 outgoing and 120 incoming ones.

    With 100 edges it took twice as long to build and was no faster at equal recall; nor did its
    tuning of prefetches pay, which takes most of a minute. Its quantized graphs (QG, QBG) are not
    here: the wheel opens them, but only a command-line program that it lacks can make them.
    """

    name = "ngt-onng"
    family = "graph"
    package = "ngt"
    modules = ("ngtpy", "threadpoolctl")

    def build(self, base: Array, metric: str, threads: int) -> None:
        """Build the graph, then optimise it into another folder."""
        self._library: Any = required("ngtpy")
        self._folder = tempfile.TemporaryDirectory(prefix="ngt")
        first, second = (str(Path(self._folder.name) / name) for name in ("anng", "onng"))
        kind = "Inner Product" if metric == "ip" else "L2"
        unit = metric == "ip" and np.allclose(np.linalg.norm(base[:64], axis=1), 1.0, atol=1e-3)
        self._library.create(
            first,
            base.shape[1],
            edge_size_for_creation=40,
            edge_size_for_search=-2,
            distance_type="Normalized Cosine" if unit else kind,
        )
        index = self._library.Index(first, log_disabled=True)
        index.batch_insert(base, num_threads=threads)
        index.save()
        index.close()
        optimizer = self._library.Optimizer(
            num_of_outgoings=10, num_of_incomings=120, log_disabled=True
        )
        optimizer.set_processing_modes(
            search_parameter_optimization=False,
            prefetch_parameter_optimization=False,
            accuracy_table_generation=False,
        )
        optimizer.execute(first, second)
        self._index = self._library.Index(second, read_only=True, log_disabled=True)
        controller = required("threadpoolctl").ThreadpoolController()
        paths = [lib["filepath"] for lib in controller.info() if "ngt.libs" in lib["filepath"]]
        self._pool: Any = controller.select(filepath=paths)

    def set_threads(self, threads: int) -> None:
        """Threads of the OpenMP runtime in its wheel: it has no argument for them."""
        for library in self._pool.lib_controllers:
            library.set_num_threads(threads)

    def sweep(self, k: int) -> Sequence[Sequence[Params]]:
        """How much further than the k-th candidate the search looks."""
        return [[{"epsilon": epsilon} for epsilon in EPSILONS]]

    def configure(self, params: Params) -> None:
        """Set it for both kinds of search."""
        self._index.set(epsilon=params["epsilon"])

    def search(self, queries: Array, k: int) -> Array:
        """Search one query, or the batch in one call: two entry points."""
        if len(queries) == 1:
            return np.asarray(self._index.search(queries[0], k, with_distance=False))[None]
        results = self._library.BatchResults()
        self._index.batch_search(queries, results, k, with_distance=False)
        return np.asarray(results.get_ids()).reshape(len(queries), -1)
