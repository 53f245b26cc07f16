"""VSAG: HGraph over 8-bit codes, re-ranked by float32 rows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from bench.pareto.judge import Array
from bench.pareto.methods.base import Method, Params, required
from bench.pareto.methods.faiss_hnsw import BREADTHS

LARGEST = 1000  # ef_search beyond it is refused


class VsagHgraph(Method):
    """Degree 32, ef_construction 200.

    Its Python package answers one query a call and holds the interpreter's lock meanwhile: a batch
    is a loop, on one thread whatever was asked for.
    """

    name = "vsag-hgraph"
    family = "graph"
    package = "pyvsag"
    modules = ("pyvsag",)
    chunk = 1

    def build(self, base: Array, metric: str, threads: int) -> None:
        """Build the graph and both stores."""
        library = required("pyvsag")
        about = {
            "dtype": "float32",
            "metric_type": metric,
            "dim": base.shape[1],
            "index_param": {
                "base_quantization_type": "sq8",
                "max_degree": 32,
                "ef_construction": 200,
                "build_thread_count": threads,
                "use_reorder": True,
                "precise_quantization_type": "fp32",
            },
        }
        self._index: Any = library.Index("hgraph", json.dumps(about))
        labels = np.arange(len(base), dtype=np.int64)
        self._index.build(base.reshape(-1), labels, len(base), base.shape[1])
        self._params = ""

    def set_threads(self, threads: int) -> None:
        """A search has one thread."""

    def sweep(self, k: int) -> Sequence[Sequence[Params]]:
        """Breadth of the search."""
        return [[{"ef_search": breadth} for breadth in BREADTHS if k <= breadth <= LARGEST]]

    def configure(self, params: Params) -> None:
        """Remember: it is an argument of each call, as JSON."""
        self._params = json.dumps({"hgraph": params})

    def search(self, queries: Array, k: int) -> Array:
        """Search one query after the other."""
        out = np.full((len(queries), k), -1, np.int64)
        for row, query in zip(out, queries, strict=True):
            ids = self._index.knn_search(query, k, self._params)[0]
            row[: len(ids)] = ids
        return out
