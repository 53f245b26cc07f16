"""Indexes asked through filters, for bench.filtered: one class per library and kind."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from bench import empty_indexes
from bench.empty_indexes import LINKS
from bench.pareto.datasets import Dataset
from bench.pareto.judge import Array
from bench.pareto.methods import Params
from bench.pareto.methods.base import required

K = 10
PROBES = (8, 32, 128)
BREADTHS = (16, 64, 256)
MARGINS = (0.05, 0.1)


class Searcher(ABC):
    """One library's index, asked through filters."""

    name: ClassVar[str]
    settings: ClassVar[Sequence[Params]] = ({},)

    @abstractmethod
    def __init__(self, data: Dataset, threads: int, selector: str) -> None:
        """Build the index."""

    @abstractmethod
    def allow(self, mask: Array, params: Params) -> Any:
        """Make what a search takes for a filter and a setting."""

    @abstractmethod
    def search(self, query: Array, allowed: Any) -> Array:
        """Ids of the answers to one query, shape (1, dim), best first."""


class NearfieldFlat(Searcher):
    """Exact search."""

    name = "nearfield-flat"
    kind: ClassVar[str] = "flat"

    def __init__(self, data: Dataset, threads: int, selector: str) -> None:
        self._index = empty_indexes.nearfield(self.kind, data.dim, data.n, data.metric)
        if not self._index.is_trained:
            self._index.train(data.base, threads=threads)
        self._index.add(data.base, threads=threads)

    def allow(self, mask: Array, params: Params) -> Any:
        """Keep the mask as a filter."""
        return {"filter": required("nearfield").Filter(mask), **params}

    def search(self, query: Array, allowed: Any) -> Array:
        """Search through the public API."""
        ids: Array = self._index.search(query, K, threads=1, **allowed).ids
        return ids


class NearfieldIvf(NearfieldFlat):
    """Inverted lists over float32 rows."""

    name = "nearfield-ivf"
    kind = "ivf"
    settings = tuple({"nprobe": probes} for probes in PROBES)


class NearfieldHnsw(NearfieldFlat):
    """Walks ended by breadth, and by margins."""

    name = "nearfield-hnsw"
    kind = "hnsw"
    settings = (
        *({"ef_search": breadth} for breadth in BREADTHS),
        *({"margin": margin} for margin in MARGINS),
    )


class FaissFlat(Searcher):
    """Exact search."""

    name = "faiss-flat"
    spec: ClassVar[str] = "Flat"
    parameters: ClassVar[str] = "SearchParameters"

    def __init__(self, data: Dataset, threads: int, selector: str) -> None:
        self._faiss, self._selector = required("faiss"), selector
        self._index = empty_indexes.faiss(self.spec, data.dim, data.n, data.metric, threads)
        self._index.train(data.base)
        self._index.add(data.base)

    def allow(self, mask: Array, params: Params) -> Any:
        """Make the selector and the parameters that carry it."""
        if self._selector == "batch":
            chosen = self._faiss.IDSelectorBatch(np.flatnonzero(mask))
        else:
            chosen = self._faiss.IDSelectorBitmap(np.packbits(mask, bitorder="little"))
        return getattr(self._faiss, self.parameters)(sel=chosen, **params)

    def search(self, query: Array, allowed: Any) -> Array:
        """Search on one thread."""
        ids: Array = self._index.search(query, K, params=allowed)[1]
        return ids


class FaissIvf(FaissFlat):
    """Inverted lists over float32 rows."""

    name = "faiss-ivf"
    spec = "IVF{lists},Flat"
    parameters = "SearchParametersIVF"
    settings = tuple({"nprobe": probes} for probes in PROBES)


class FaissHnsw(FaissFlat):
    """faiss's graph."""

    name = "faiss-hnsw"
    spec = f"HNSW{LINKS}"
    parameters = "SearchParametersHNSW"
    settings = tuple({"efSearch": breadth} for breadth in BREADTHS)


class Hnswlib(Searcher):
    """hnswlib's graph.

    It is asked for no more rows than match: finding fewer than asked for, it answers with an error.
    """

    name = "hnswlib"
    settings = tuple({"ef": breadth} for breadth in BREADTHS)

    def __init__(self, data: Dataset, threads: int, selector: str) -> None:
        self._index = empty_indexes.hnswlib(data.dim, data.n, data.metric)
        self._index.add_items(data.base, num_threads=threads)

    def allow(self, mask: Array, params: Params) -> Any:
        """Set the breadth; a list's own method is the fastest function there is."""
        return mask.tolist().__getitem__, params["ef"], min(K, int(mask.sum()))

    def search(self, query: Array, allowed: Any) -> Array:
        """Search on one thread."""
        function, breadth, k = allowed
        self._index.set_ef(breadth)
        try:
            ids: Array = self._index.knn_query(query, k, num_threads=1, filter=function)[0]
        except RuntimeError:
            return np.empty((1, 0), np.int64)
        return ids


SEARCHERS: dict[str, type[Searcher]] = {
    kind.name: kind
    for kind in (
        NearfieldFlat,
        NearfieldIvf,
        NearfieldHnsw,
        FaissFlat,
        FaissIvf,
        FaissHnsw,
        Hnswlib,
    )
}
