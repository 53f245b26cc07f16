"""SVS (scalable-vs): Vamana graphs over its locally adaptive codes."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from bench.pareto.judge import Array
from bench.pareto.methods.base import Method, Params, UnsupportedDataError, required
from bench.pareto.methods.faiss_hnsw import BREADTHS

DEGREE, WINDOW = 64, 128


class SvsLvq4x8(Method):
    """Four bits traverse the graph, eight more re-rank what the search buffer holds at its end.

    Codes are made of rows in a file, the one way there is; the file is gone after the build. The
    visited set stays on, as the library has it: without it every point was slower.
    """

    name = "svs-lvq4x8"
    family = "graph"
    package = "scalable-vs"
    modules = ("svs",)
    capacities: ClassVar[tuple[float, ...]] = (1.0, 1.5)

    def build(self, base: Array, metric: str, threads: int) -> None:
        """Write the rows, encode them, build the graph."""
        self._svs: Any = required("svs")
        if "GenuineIntel" not in Path("/proc/cpuinfo").read_text(encoding="utf-8"):
            # Elsewhere the library ends the process.
            raise UnsupportedDataError("LVQ and LeanVec codes need an Intel CPU")
        kind = self._svs.DistanceType.MIP if metric == "ip" else self._svs.DistanceType.L2
        parameters = self._svs.VamanaBuildParameters(
            alpha=0.95 if metric == "ip" else 1.2,
            graph_max_degree=DEGREE,
            window_size=WINDOW,
        )
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder) / "rows.fvecs")
            self._svs.write_vecs(base, path)
            rows = self._svs.VectorDataLoader(path, self._svs.DataType.float32, dims=base.shape[1])
            loader = self._coded(rows, base.shape[1])
            self._index = self._svs.Vamana.build(parameters, loader, kind, num_threads=threads)
        self._threads = threads

    def _coded(self, rows: Any, dim: int) -> Any:
        turbo = self._svs.LVQStrategy.Turbo
        return self._svs.LVQLoader(rows, primary=4, residual=8, strategy=turbo)

    def set_threads(self, threads: int) -> None:
        """Threads of the index's pool, which is made anew only when their number changes."""
        if threads != self._threads:
            self._index.num_threads = self._threads = threads

    def sweep(self, k: int) -> Sequence[Sequence[Params]]:
        """Breadth of the search, and how many more candidates the buffer keeps for re-ranking."""
        return [
            [
                {"window": breadth, "capacity": int(breadth * more)}
                for breadth in BREADTHS
                if breadth >= k
            ]
            for more in self.capacities
        ]

    def configure(self, params: Params) -> None:
        """Set both."""
        parameters = self._index.search_parameters
        parameters.buffer_config = self._svs.SearchBufferConfig(
            params["window"], params["capacity"]
        )
        self._index.search_parameters = parameters

    def search(self, queries: Array, k: int) -> Array:
        """Search the batch in one call."""
        ids: Array = self._index.search(queries, k)[0]
        return ids


class SvsLvq8(SvsLvq4x8):
    """Eight bits a dimension and nothing else: there is nothing to re-rank by."""

    name = "svs-lvq8"
    capacities = (1.0,)

    def _coded(self, rows: Any, dim: int) -> Any:
        return self._svs.LVQLoader(rows, primary=8, strategy=self._svs.LVQStrategy.Turbo)


class SvsLeanVec(SvsLvq4x8):
    """Half of the dimensions, by principal components, in four bits; all of them in eight."""

    name = "svs-leanvec"

    def _coded(self, rows: Any, dim: int) -> Any:
        kinds = self._svs.LeanVecKind
        return self._svs.LeanVecLoader(
            rows,
            leanvec_dims=max(32, dim // 2),
            primary_kind=kinds.lvq4,
            secondary_kind=kinds.lvq8,
        )
