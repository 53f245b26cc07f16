"""Indexes whose rows come and go, for bench.stream: one class per library and kind."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np

from bench import empty_indexes
from bench.empty_indexes import EF_CONSTRUCTION, LINKS
from bench.pareto.judge import Array
from bench.pareto.methods.base import required


class Updater(ABC):
    """One library's index, made of some rows under labels.

    Parameters
    ----------
    rows, labels : ndarray
        What it holds at first; as many rows stay live.
    metric : {"ip", "l2"}
    threads : int
        For everything.
    effort : dict of str to int
        What a search may cost: ``ef`` for graphs, ``nprobe`` for lists.
    """

    name: ClassVar[str]

    @abstractmethod
    def __init__(
        self, rows: Array, labels: Array, metric: str, threads: int, effort: dict[str, int]
    ) -> None:
        """Build the index."""

    @abstractmethod
    def remove(self, labels: Array) -> None:
        """Remove rows, with everything that must follow before or after."""

    @abstractmethod
    def add(self, rows: Array, labels: Array) -> None:
        """Add as many rows as were removed."""

    @abstractmethod
    def search(self, queries: Array, k: int) -> Array:
        """Labels of the answers, best first."""


class NearfieldFlat(Updater):
    """Exact search."""

    name = "nearfield-flat"
    kind: ClassVar[str] = "flat"
    argument: ClassVar[str | None] = None  # of a search, for which effort
    effort: ClassVar[str] = ""

    def __init__(
        self, rows: Array, labels: Array, metric: str, threads: int, effort: dict[str, int]
    ) -> None:
        self._threads = threads
        self._params = {self.argument: effort[self.effort]} if self.argument else {}
        self._index = empty_indexes.nearfield(self.kind, rows.shape[1], len(rows), metric)
        if not self._index.is_trained:
            self._index.train(rows, threads=threads)
        self.add(rows, labels)

    def remove(self, labels: Array) -> None:
        """Remove them; the index tidies up by itself."""
        self._index.remove(labels)

    def add(self, rows: Array, labels: Array) -> None:
        """Add them."""
        self._index.add(rows, labels, threads=self._threads)

    def search(self, queries: Array, k: int) -> Array:
        """Search the batch."""
        ids: Array = self._index.search(queries, k, threads=self._threads, **self._params).ids
        return ids


class NearfieldIvf(NearfieldFlat):
    """Inverted lists over float32 rows."""

    name = "nearfield-ivf"
    kind = "ivf"
    argument, effort = "nprobe", "nprobe"


class NearfieldHnsw(NearfieldFlat):
    """A graph of the same m and ef_construction as hnswlib's."""

    name = "nearfield-hnsw"
    kind = "hnsw"
    argument, effort = "ef_search", "ef"


class Hnswlib(Updater):
    """Removed rows are marked; a row added takes the place of a marked one."""

    name = "hnswlib"

    def __init__(
        self, rows: Array, labels: Array, metric: str, threads: int, effort: dict[str, int]
    ) -> None:
        self._threads = threads
        self._index = empty_indexes.hnswlib(
            rows.shape[1], len(rows), metric, allow_replace_deleted=True
        )
        self._index.add_items(rows, labels, num_threads=threads)
        self._index.set_ef(effort["ef"])

    def remove(self, labels: Array) -> None:
        """Mark them."""
        for label in labels.tolist():
            self._index.mark_deleted(label)

    def add(self, rows: Array, labels: Array) -> None:
        """Add them in place of marked ones."""
        self._index.add_items(rows, labels, num_threads=self._threads, replace_deleted=True)

    def search(self, queries: Array, k: int) -> Array:
        """Search the batch."""
        ids: Array = self._index.knn_query(queries, k, num_threads=self._threads)[0]
        return ids


class UsearchHnsw(Updater):
    """Removed rows are marked; their places are taken again."""

    name = "usearch-hnsw"

    def __init__(
        self, rows: Array, labels: Array, metric: str, threads: int, effort: dict[str, int]
    ) -> None:
        self._threads = threads
        self._index = required("usearch.index").Index(
            ndim=rows.shape[1],
            metric="ip" if metric == "ip" else "l2sq",
            dtype="f32",
            connectivity=LINKS,
            expansion_add=EF_CONSTRUCTION,
            expansion_search=effort["ef"],
        )
        self.add(rows, labels)

    def remove(self, labels: Array) -> None:
        """Remove them in one call."""
        self._index.remove(labels.astype(np.uint64), threads=self._threads)

    def add(self, rows: Array, labels: Array) -> None:
        """Add them."""
        self._index.add(labels.astype(np.uint64), rows, threads=self._threads)

    def search(self, queries: Array, k: int) -> Array:
        """Search the batch."""
        ids: Array = self._index.search(queries, k, threads=self._threads).keys
        return ids


class FaissIvf(Updater):
    """Inverted lists over float32 rows."""

    name = "faiss-ivf"

    def __init__(
        self, rows: Array, labels: Array, metric: str, threads: int, effort: dict[str, int]
    ) -> None:
        spec = "IVF{lists},Flat"
        self._index = empty_indexes.faiss(spec, rows.shape[1], len(rows), metric, threads)
        self._index.train(rows)
        self._index.nprobe = effort["nprobe"]
        self.add(rows, labels)

    def remove(self, labels: Array) -> None:
        """Remove them: every list is gone through once."""
        self._index.remove_ids(labels)

    def add(self, rows: Array, labels: Array) -> None:
        """Add them."""
        self._index.add_with_ids(rows, labels)

    def search(self, queries: Array, k: int) -> Array:
        """Search the batch."""
        ids: Array = self._index.search(queries, k)[1]
        return ids


class SvsVamana(Updater):
    """DynamicVamana over float32 rows: links to removed rows are mended once a step."""

    name = "svs-dynamic"

    def __init__(
        self, rows: Array, labels: Array, metric: str, threads: int, effort: dict[str, int]
    ) -> None:
        svs = required("svs")
        kind = svs.DistanceType.MIP if metric == "ip" else svs.DistanceType.L2
        parameters = svs.VamanaBuildParameters(
            alpha=0.95 if metric == "ip" else 1.2,
            graph_max_degree=2 * LINKS,
            window_size=EF_CONSTRUCTION,
        )
        self._index = svs.DynamicVamana.build(
            parameters, rows, labels.astype(np.uint64), kind, threads
        )
        self._index.search_window_size = effort["ef"]

    def remove(self, labels: Array) -> None:
        """Remove them, then mend the graph."""
        self._index.delete(labels.astype(np.uint64))
        self._index.consolidate()

    def add(self, rows: Array, labels: Array) -> None:
        """Add them."""
        self._index.add(rows, labels.astype(np.uint64))

    def search(self, queries: Array, k: int) -> Array:
        """Search the batch."""
        ids: Array = self._index.search(queries, k)[0]
        return ids


UPDATERS: dict[str, type[Updater]] = {
    kind.name: kind
    for kind in (
        NearfieldFlat,
        NearfieldIvf,
        NearfieldHnsw,
        Hnswlib,
        UsearchHnsw,
        SvsVamana,
        FaissIvf,
    )
}
UNABLE = {"faiss-hnsw": "faiss's HNSW cannot remove rows"}
