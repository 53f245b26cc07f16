"""Ids of one's own on any index: :class:`IndexIDMap`."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .ids import IdVector
from .index import Index
from .ivf import IndexIVFFlat
from .vectors import as_ids, as_matrix, is_tensor, like

__all__ = ["IndexIDMap", "IndexIDMap2"]


class IndexIDMap(Index):
    """Rows of another index under ids of one's own, which may repeat.

    Parameters
    ----------
    index : Index
        Without rows.

    Attributes
    ----------
    index : Index

    Examples
    --------
    >>> import numpy as np, nearfield.faiss as faiss
    >>> index = faiss.IndexIDMap(faiss.IndexFlatIP(2))
    >>> index.add_with_ids(np.eye(2), np.array([70, 80]))
    >>> index.search(np.eye(2), 1)[1].ravel()
    array([70, 80])
    """

    index: Index | None = None
    _owned = ("_ids", "index")
    _ids: IdVector

    def __init__(self, index: Index) -> None:
        if not isinstance(index, Index):
            raise TypeError(f"index: got {index!r}, expected an index of nearfield.faiss")
        if index.ntotal:
            raise RuntimeError(f"index: got {index!r}, expected one without rows")
        self.index = index
        self._ids = IdVector()
        self.metric_type = index.metric_type

    @property
    def _inner(self) -> Index:
        assert self.index is not None
        return self.index

    @property
    def native(self) -> Any:
        """The nearfield index of the rows; its labels are their numbers."""
        return self._inner.native

    @property
    def d(self) -> int:
        """Columns of the vectors."""
        return self._inner.d

    @property
    def ntotal(self) -> int:
        """Rows."""
        return self._inner.ntotal

    @property
    def is_trained(self) -> bool:
        """Whether rows can be added."""
        return self._inner.is_trained

    @property
    def id_map(self) -> IdVector:
        """Ids by row; a copy."""
        return copy.copy(self._ids)

    def train(self, x: Any) -> None:
        """Train the index."""
        self._inner.train(x)

    def add(self, x: Any) -> None:
        """Raise: every row needs an id here."""
        raise RuntimeError("add: rows of an IndexIDMap need ids, as in FAISS; use add_with_ids")

    def add_with_ids(self, x: Any, ids: Any) -> None:
        """Add rows.

        Parameters
        ----------
        x : array_like, shape (n, d)
        ids : array_like of int, shape (n,)
        """
        rows = as_matrix(x, self.d)
        names = as_ids(ids, len(rows))
        self._inner.add(rows)
        self._ids.append(names)

    def remove_ids(self, ids: Any) -> int:
        """Remove every row of some ids; returns how many were removed."""
        if isinstance(self._inner, IndexIVFFlat):
            raise RuntimeError("remove_ids: an IndexIVFFlat takes ids itself; use it without a map")
        gone = np.isin(self._ids.array, as_ids(ids, len(ids)))
        removed = self._inner.remove_ids(np.flatnonzero(gone))
        self._ids = IdVector(self._ids.array[~gone])
        return removed

    def reset(self) -> None:
        """Remove all rows; training stays."""
        self._inner.reset()
        self._ids = IdVector()

    def search(
        self, x: Any, k: int, *, params: None = None, D: Any = None, I: Any = None
    ) -> tuple[Any, Any]:
        """Find the `k` nearest rows of every query; see :meth:`Index.search`."""
        distances, rows = self._inner.search(x, k, params=params, D=D)
        if not self.ntotal:
            ids = rows
        elif is_tensor(rows) and rows.is_cuda:
            names = rows.new_tensor(self._ids.array)
            ids = names[rows.clamp(min=0)].masked_fill(rows < 0, -1)
        else:
            at = np.asarray(rows)
            ids = like(x, np.where(at < 0, -1, self._ids.array[np.maximum(at, 0)]))
        if I is None:
            return distances, ids
        I[...] = ids
        return distances, I

    def reconstruct_batch(self, keys: Any) -> NDArray[np.float32]:
        """Raise: only :class:`IndexIDMap2` finds rows by id."""
        raise RuntimeError("reconstruct: an IndexIDMap does not, as in FAISS; use IndexIDMap2")

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


class IndexIDMap2(IndexIDMap):
    """An :class:`IndexIDMap` that reconstructs rows by id, of several the last."""

    def reconstruct_batch(self, keys: Any) -> NDArray[np.float32]:
        """Return the rows of some ids, shape (n, d)."""
        row_of = {int(name): row for row, name in enumerate(self._ids.array)}
        wanted = as_ids(keys, len(keys))
        unknown = [int(key) for key in wanted if int(key) not in row_of]
        if unknown:
            raise RuntimeError(f"reconstruct: id {unknown[0]} is not in the index")
        return self._inner.reconstruct_batch([row_of[int(key)] for key in wanted])

    def reconstruct_n(
        self, n0: int = 0, ni: int = -1, x: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """Return rows by number, as of the index inside."""
        return self._inner.reconstruct_n(n0, ni, x)
