"""Search along the links of a graph: :class:`IndexHNSWFlat`."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arguments import as_positive
from ..hnsw import HNSWIndex
from .index import Index
from .metrics import METRIC_L2, native_metric

__all__ = ["HNSW", "IndexHNSWFlat"]


class HNSW:
    """Settings of a graph, FAISS's defaults.

    Attributes
    ----------
    efConstruction : int
        Rows among which the links of a new one are chosen; read when the first rows are added.
    efSearch : int
        Breadth of a search.
    """

    __slots__ = ("efConstruction", "efSearch")

    def __init__(self) -> None:
        self.efConstruction = 40
        self.efSearch = 16


class IndexHNSWFlat(Index):
    """A graph of links between near rows.

    Parameters
    ----------
    d : int
        Columns of the vectors.
    M : int, default 32
        Links of a row; twice as many on the lowest level.
    metric : int, default METRIC_L2

    Attributes
    ----------
    hnsw : HNSW
        ``efSearch`` and ``efConstruction``.

    Examples
    --------
    >>> import numpy as np, nearfield.faiss as faiss
    >>> index = faiss.IndexHNSWFlat(4, 8)
    >>> index.hnsw.efConstruction = 80
    >>> index.add(np.eye(4))
    >>> index.search(np.eye(4)[:2], 1)[1].ravel()
    array([0, 1])
    """

    _owned = ("hnsw",)
    hnsw: HNSW | None = None
    _native: HNSWIndex
    _links: int

    def __init__(self, d: int, M: int = 32, metric: int = METRIC_L2) -> None:
        self.hnsw = HNSW()
        self._links = as_positive(M, name="M", least=2, largest=512)
        self._start(d, metric)

    def _empty(self, d: int) -> HNSWIndex:
        breadth = self._settings.efConstruction
        return HNSWIndex(d, self._links, native_metric(self.metric_type), ef_construction=breadth)

    @property
    def _settings(self) -> HNSW:
        assert self.hnsw is not None
        return self.hnsw

    def _append(self, rows: NDArray[np.float32]) -> None:
        if self._settings.efConstruction != self._native.ef_construction:
            if self.ntotal == 0:
                self.reset()
            else:
                warnings.warn(
                    "efConstruction was changed after rows were added: the graph goes on with "
                    f"{self._native.ef_construction}",
                    stacklevel=3,
                )
        super()._append(rows)

    def _search_params(self) -> dict[str, Any]:
        return {"ef_search": as_positive(self._settings.efSearch, name="efSearch")}
