"""Search in inverted lists: :class:`IndexIVFFlat`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arguments import as_positive
from ..ivf import IVFIndex
from .ids import IdVector
from .index import Index
from .metrics import METRIC_L2, native_metric
from .vectors import as_ids, as_matrix

__all__ = ["IndexIVFFlat"]


class IndexIVFFlat(Index):
    """Rows lie in the lists of their nearest centroids; a search looks into :attr:`nprobe` lists.

    Parameters
    ----------
    quantizer : IndexFlat
        Without rows; once trained it has the centroids.
    d : int
        Columns of the vectors.
    nlist : int
        Lists.
    metric : int, default METRIC_L2

    Attributes
    ----------
    nprobe : int
        1, as in FAISS.
    quantizer : IndexFlat

    Notes
    -----
    Where these lists have fewer than `k` rows more are looked into, so answers are not cut short.
    Rows can be reconstructed without ``make_direct_map()``.

    Examples
    --------
    >>> import numpy as np, nearfield.faiss as faiss
    >>> rows = np.float32([[0, 0], [0, 1], [9, 9], [9, 8]])
    >>> index = faiss.IndexIVFFlat(faiss.IndexFlatL2(2), 2, 2)
    >>> index.train(rows)
    >>> index.add_with_ids(rows, np.array([10, 20, 30, 40]))
    >>> index.search(np.float32([[8, 8]]), 2)[1]
    array([[40, 30]])
    """

    nprobe: int = 1
    quantizer: Index | None = None
    _native: IVFIndex
    _nlist: int
    _owned = ("_ids",)
    _ids: IdVector
    """By native label, of rows removed too."""

    def __init__(self, quantizer: Index, d: int, nlist: int, metric: int = METRIC_L2) -> None:
        if not isinstance(quantizer, Index):
            raise TypeError(f"quantizer: got {quantizer!r}, expected an IndexFlatL2 or IndexFlatIP")
        if quantizer.d != d or quantizer.ntotal:
            raise ValueError(
                f"quantizer: got {quantizer!r}, expected one of d={d} without rows: training finds "
                "the centroids"
            )
        self.quantizer = quantizer
        self._start_lists(d, nlist, metric)

    def _start_lists(self, d: int, nlist: int, metric: int) -> None:
        self._nlist = as_positive(nlist, name="nlist", largest=2**24)
        self._ids = IdVector()
        self._start(d, metric)

    def _empty(self, d: int) -> IVFIndex:
        return IVFIndex(d, self._nlist, native_metric(self.metric_type))

    @property
    def nlist(self) -> int:
        """Lists."""
        return self._nlist

    def train(self, x: Any) -> None:
        """Find the centroids of the lists by k-means; once trained, do nothing.

        Parameters
        ----------
        x : array_like, shape (n, d)
            At least :attr:`nlist` rows.
        """
        rows = as_matrix(x, self.d)
        if self.is_trained:
            return
        self._before_change()
        self._native.train(rows)
        if self.quantizer is not None and self.quantizer.ntotal == 0:
            self.quantizer.add(self._native.centroids)

    def add_with_ids(self, x: Any, ids: Any) -> None:
        """Add rows with ids of one's own, which may repeat.

        Parameters
        ----------
        x : array_like, shape (n, d)
        ids : array_like of int, shape (n,)
        """
        rows = as_matrix(x, self.d)
        names = as_ids(ids, len(rows))
        if not self.is_trained:
            raise RuntimeError("add_with_ids: the index is not trained; call train(x) first")
        self._before_change()
        self._append_named(rows, names)

    def _append(self, rows: NDArray[np.float32]) -> None:
        self._append_named(rows, np.arange(self.ntotal, self.ntotal + len(rows)))

    def _append_named(self, rows: NDArray[np.float32], names: NDArray[np.int64]) -> None:
        first = len(self._ids)
        self._native.add(rows, np.arange(first, first + len(rows)))
        self._ids.append(names)

    def remove_ids(self, ids: Any) -> int:
        """Remove rows; the others keep their ids. Returns how many were removed."""
        gone = np.isin(self._ids.array, as_ids(ids, len(ids)))
        self._before_change()
        return self._native.remove(np.flatnonzero(gone))

    def reset(self) -> None:
        """Remove all rows; the centroids stay."""
        self._before_change()
        self._native.remove(self._native.ids)
        self._ids = IdVector()

    def make_direct_map(self, new_maintain_direct_map: bool = True) -> None:
        """Do nothing: rows are found by id at any time."""

    def _search_params(self) -> dict[str, Any]:
        nprobe = as_positive(self.nprobe, name="nprobe")
        return {"nprobe": min(nprobe, self._nlist)}

    def _named(self, labels: NDArray[np.int64]) -> NDArray[np.int64]:
        return self._ids.array[labels] if len(self._ids) else labels

    def _named_there(self, labels: Any) -> Any:
        if not len(self._ids):
            return labels
        names = labels.new_tensor(self._ids.array)
        return names[labels.clamp(min=0)].masked_fill(labels < 0, -1)

    def _labels_of(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        live = np.sort(self._native.ids)
        names = self._ids.array[live]
        order = np.argsort(names, kind="stable")
        at = np.searchsorted(names[order], ids)
        found = (at < len(order)) & (names[order][np.minimum(at, len(order) - 1)] == ids)
        if not found.all():
            raise KeyError(f"ids: {int(ids[~found][0])} is not in the index")
        return np.asarray(live[order[at]])
