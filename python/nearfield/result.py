"""What a search returns: plain named tuples of NumPy arrays."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["MISSING", "RangeResult", "SearchResult"]

MISSING: int = -(2**63)
"""Id of a result that does not exist: the smallest int64.

Unlike -1 it never indexes the last row by accident: ``rows[nf.MISSING]`` raises ``IndexError``.
"""


class SearchResult(NamedTuple):
    """The k best rows of every query.

    Attributes
    ----------
    ids : ndarray of int64, shape (n_queries, k)
        Labels (row numbers for :func:`nearfield.topk`), best first; equal scores by smaller id.
        Where fewer than k rows could answer, the rest hold :data:`nearfield.MISSING`.
    scores : ndarray of float32, shape (n_queries, k)
        Similarity, descending, for ``"ip"`` and ``"cosine"``; squared distance, ascending, for
        ``"l2"``. NaN where the id is missing; infinite where the value is beyond float32, which
        changes neither the ids nor their order.
    counts : ndarray of int64, shape (n_queries,)
        How many results of each query are real.

    Notes
    -----
    A single query of shape ``(dim,)`` gives ``ids`` and ``scores`` of shape ``(k,)`` and one
    ``counts``.

    A search on a CUDA device gives arrays there, of the kind that the queries are; where that is
    none of torch's, CuPy's or JAX's, arrays with ``__dlpack__`` and ``numpy()``, which waits.

    Examples
    --------
    >>> import numpy as np, nearfield as nf
    >>> ids, scores, counts = nf.topk(np.eye(2), np.eye(2), k=3, metric="ip")
    >>> counts
    array([2, 2])
    >>> bool(ids[0, 2] == nf.MISSING)
    True
    """

    ids: NDArray[np.int64]
    scores: NDArray[np.float32]
    counts: NDArray[np.int64]

    def _without_query_axis(self) -> SearchResult:
        counts: Any = self.counts[0]
        return SearchResult(self.ids[0], self.scores[0], counts)


class RangeResult(NamedTuple):
    """Every row within a threshold, for every query.

    Attributes
    ----------
    lims : ndarray of int64, shape (n_queries + 1,)
        Query ``i`` owns ``ids[lims[i]:lims[i + 1]]`` and the same part of ``scores``.
    ids : ndarray of int64, shape (lims[-1],)
        Labels, best first within each query; equal scores by smaller id.
    scores : ndarray of float32, shape (lims[-1],)
        As in :class:`SearchResult`.

    Notes
    -----
    A single query of shape ``(dim,)`` gives ``lims`` of shape ``(2,)``: ``ids`` and ``scores``
    are then all its own.

    Examples
    --------
    >>> import numpy as np, nearfield as nf
    >>> index = nf.FlatIndex(1)
    >>> index.add(np.float32([[0], [1], [5]]))
    >>> lims, ids, scores = index.range_search(np.float32([[0], [5]]), 2.0)
    >>> [ids[a:b].tolist() for a, b in zip(lims, lims[1:])]
    [[0, 1], [2]]
    """

    lims: NDArray[np.int64]
    ids: NDArray[np.int64]
    scores: NDArray[np.float32]
