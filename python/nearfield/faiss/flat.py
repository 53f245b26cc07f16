"""Exact search: :class:`IndexFlat`, :class:`IndexFlatL2` and :class:`IndexFlatIP`."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..flat import FlatIndex
from .index import Index
from .metrics import METRIC_INNER_PRODUCT, METRIC_L2, native_metric
from .vectors import as_ids

__all__ = ["IndexFlat", "IndexFlatIP", "IndexFlatL2"]


class IndexFlat(Index):
    """Every search sees every row.

    Parameters
    ----------
    d : int
        Columns of the vectors.
    metric : int, default METRIC_L2

    Examples
    --------
    >>> import numpy as np, nearfield.faiss as faiss
    >>> index = faiss.IndexFlat(2, faiss.METRIC_INNER_PRODUCT)
    >>> index.add(np.float32([[1, 0], [0, 2]]))
    >>> index.search(np.float32([[1, 1]]), 3)[1]
    array([[ 1,  0, -1]])
    """

    _stored: str = "float32"

    def __init__(self, d: int, metric: int = METRIC_L2) -> None:
        self._start(d, metric)

    def _empty(self, d: int) -> FlatIndex:
        return FlatIndex(d, native_metric(self.metric_type), quantizer=self._stored)

    def remove_ids(self, ids: Any) -> int:
        """Remove rows; those behind them move up and are renumbered.

        Parameters
        ----------
        ids : array_like of int
            Unknown ones are skipped.

        Returns
        -------
        int
            How many rows were removed.
        """
        gone = as_ids(ids, len(ids))
        kept = np.setdiff1d(np.arange(self.ntotal), gone)
        removed = self.ntotal - len(kept)
        if removed:
            rows = self._native.reconstruct(kept)
            self.reset()
            self._append(rows)
        return removed


class IndexFlatL2(IndexFlat):
    """Squared Euclidean distances, ascending."""

    def __init__(self, d: int) -> None:
        super().__init__(d, METRIC_L2)


class IndexFlatIP(IndexFlat):
    """Inner products, descending."""

    def __init__(self, d: int) -> None:
        super().__init__(d, METRIC_INNER_PRODUCT)
