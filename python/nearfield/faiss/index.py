"""What every index of :mod:`nearfield.faiss` has: :class:`Index`."""

from __future__ import annotations

import copy
from typing import Any
from weakref import WeakSet

import numpy as np
from numpy.typing import NDArray

from ..arguments import LARGEST_DIM, as_positive
from ..index import Index as NativeIndex
from ..result import MISSING, SearchResult
from .metrics import METRIC_L2, native_metric, worst_distance
from .vectors import as_ids, as_matrix, is_tensor, like

__all__ = ["Index", "clone_index"]


class Index:
    """An index with FAISS's methods over one of nearfield's, :attr:`native`.

    Made by its kinds: :class:`IndexFlat`, :class:`IndexIVFFlat`, :class:`IndexHNSWFlat`.

    Attributes
    ----------
    metric_type : int
        ``METRIC_L2`` or ``METRIC_INNER_PRODUCT``.
    verbose : bool
        Accepted; nothing is printed.

    Notes
    -----
    Results that do not exist have the id -1 and the worst finite float32 as distance. Equal
    distances are ordered by smaller id, and NaN or infinity in `x` raises.
    """

    metric_type: int = METRIC_L2
    metric_arg: float = 0.0
    verbose: bool = False
    own_fields: bool = False

    _owned: tuple[str, ...] = ()
    """Names of what a clone has a copy of at once."""
    _native: NativeIndex
    _sharers: WeakSet[Index]
    """The indexes that have the same native one: whichever changes first takes a copy."""

    def __init__(self, *_: Any, **__: Any) -> None:
        raise TypeError("Index is what indexes have in common; make an IndexFlatL2, for instance")

    def _start(self, d: int, metric: int) -> None:
        as_positive(d, name="d", largest=LARGEST_DIM)
        native_metric(metric)
        self.metric_type = metric
        self._holds(self._placed(self._empty(d)))

    def _empty(self, d: int) -> NativeIndex:
        """Make a native index without rows."""
        raise TypeError(f"{type(self).__name__} has no rows of its own")

    def _placed(self, native: NativeIndex) -> NativeIndex:
        """Put a native index where it is searched."""
        return native

    def _holds(self, native: NativeIndex) -> None:
        self._native, self._sharers = native, WeakSet([self])

    def _before_change(self) -> None:
        if any(other is not self for other in self._sharers):
            self._sharers.discard(self)
            self._holds(self._placed(copy.deepcopy(self._native)))

    def _search_params(self) -> dict[str, Any]:
        """Return what a native search takes of the index's own settings."""
        return {}

    def _named(self, labels: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return ids of native labels."""
        return labels

    @property
    def native(self) -> NativeIndex:
        """The nearfield index inside; change rows through this object only."""
        return self._native

    @property
    def d(self) -> int:
        """Columns of the vectors."""
        return self._native.dim

    @property
    def ntotal(self) -> int:
        """Rows."""
        return len(self._native)

    @property
    def is_trained(self) -> bool:
        """Whether rows can be added."""
        return self._native.is_trained

    def train(self, x: Any) -> None:
        """Do what rows need before they are added; for many indexes nothing.

        Parameters
        ----------
        x : array_like, shape (n, d)
        """
        as_matrix(x, self.d)

    def add(self, x: Any) -> None:
        """Add rows, numbered from :attr:`ntotal` on.

        Parameters
        ----------
        x : array_like, shape (n, d)

        Raises
        ------
        ValueError
            Another shape, NaN or infinity; nothing is added then.
        RuntimeError
            The index is not trained.
        """
        rows = as_matrix(x, self.d)
        if not self.is_trained:
            raise RuntimeError(f"add: {type(self).__name__} is not trained; call train(x) first")
        self._before_change()
        self._append(rows)

    def _append(self, rows: NDArray[np.float32]) -> None:
        self._native.add(rows, np.arange(self.ntotal, self.ntotal + len(rows)))

    def add_with_ids(self, x: Any, ids: Any) -> None:
        """Add rows with ids of one's own: wrap this index in an :class:`IndexIDMap` for that."""
        raise RuntimeError(
            f"add_with_ids: {type(self).__name__} numbers its rows itself, as in FAISS; use "
            "IndexIDMap(index).add_with_ids(x, ids)"
        )

    def remove_ids(self, ids: Any) -> int:
        """Remove rows, where a kind can.

        Parameters
        ----------
        ids : array_like of int

        Returns
        -------
        int
            How many.
        """
        raise RuntimeError(f"remove_ids: {type(self).__name__} keeps its rows, as in FAISS")

    def reset(self) -> None:
        """Remove all rows; training stays."""
        self._sharers.discard(self)
        self._holds(self._placed(self._empty(self.d)))

    def search(
        self, x: Any, k: int, *, params: None = None, D: Any = None, I: Any = None
    ) -> tuple[Any, Any]:
        """Find the `k` nearest rows of every query.

        Parameters
        ----------
        x : array_like or torch.Tensor, shape (n, d)
            Tensors give tensors back; those on the GPU that the index is on are read where they lie
            and nothing waits.
        k : int
            At least 1.
        params : None
            FAISS's search parameters are not there yet; set :attr:`nprobe` and the like.
        D, I : ndarray, optional
            Where results are written as well.

        Returns
        -------
        D : float32, shape (n, k)
            Squared distances, ascending, or inner products, descending.
        I : int64, shape (n, k)
            Ids, -1 where there is no result.

        Examples
        --------
        >>> import numpy as np, nearfield.faiss as faiss
        >>> index = faiss.IndexFlatL2(1)
        >>> index.add(np.float32([[0], [2], [5]]))
        >>> D, I = index.search(np.float32([[1.9]]), 2)
        >>> I
        array([[1, 0]])
        """
        if params is not None:
            raise TypeError("params: got search parameters, which nearfield.faiss has not yet")
        on_device = self._native.device != "cpu"
        q = as_matrix(x, self.d, on_device=on_device)
        found = self._found(q, as_positive(k, name="k"))
        return self._answer(x, found.scores, found.ids, D, I)

    def _found(self, q: Any, k: int) -> SearchResult:
        return self._native.search(q, k, **self._search_params())

    def _answer(self, x: Any, scores: Any, labels: Any, D: Any, I: Any) -> tuple[Any, Any]:
        worst = worst_distance(self.metric_type)
        missing = labels == MISSING
        if is_tensor(labels):
            ids = self._named_there(labels.masked_fill(missing, -1))
            distances = scores.masked_fill(missing, worst)
        else:
            # Beyond float32 FAISS has no infinity either: what is real stays apart from the fill.
            ids = like(x, np.where(missing, -1, self._named(np.where(missing, 0, labels))))
            distances = like(x, np.where(missing, np.float32(worst), scores))
        for out, result in ((D, distances), (I, ids)):
            if out is not None:
                out[...] = result
        return distances if D is None else D, ids if I is None else I

    def _named_there(self, labels: Any) -> Any:
        """Return ids of native labels in a tensor on a device, -1 for -1."""
        return labels

    def assign(self, x: Any, k: int = 1) -> Any:
        """Return the ids of the `k` nearest rows, shape (n, k)."""
        return self.search(x, k)[1]

    def reconstruct(self, key: int, x: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        """Return a row.

        Parameters
        ----------
        key : int
            Its id.
        x : ndarray of float32, shape (d,), optional
            Where it is written as well.

        Raises
        ------
        RuntimeError
            No such row.
        """
        return _written(self.reconstruct_batch([key])[0], x)

    def reconstruct_batch(self, keys: Any) -> NDArray[np.float32]:
        """Return the rows of some ids, shape (n, d)."""
        keys = np.asarray(keys)
        try:
            return self._native.reconstruct(self._labels_of(as_ids(keys, len(keys))))
        except KeyError as error:
            raise RuntimeError(f"reconstruct: {error.args[0]}") from None

    def _labels_of(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return native labels of ids."""
        return ids

    def reconstruct_n(
        self, n0: int = 0, ni: int = -1, x: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """Return `ni` rows (-1: all that follow) from row `n0` on, shape (ni, d)."""
        ni = self.ntotal - n0 if ni == -1 else ni
        if not 0 <= n0 <= n0 + ni <= self.ntotal:
            raise RuntimeError(
                f"reconstruct_n: got rows {n0} to {n0 + ni}, expected some of {self.ntotal}"
            )
        return _written(self.reconstruct_batch(np.arange(n0, n0 + ni)), x)

    def __setattr__(self, name: str, value: Any) -> None:
        if not name.startswith("_") and not hasattr(type(self), name):
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        super().__setattr__(name, value)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"{type(self).__name__} has no {name!r}: where FAISS has it, it is not there yet; "
            ".native is the nearfield index, with search, range_search, save and more"
        )

    def __copy__(self) -> Index:
        other: Index = clone_index(self)
        return other

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_sharers"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if "_native" in state:
            self._holds(self._placed(self._native))

    def __repr__(self) -> str:
        return f"<nearfield.faiss.{type(self).__name__} of {self.ntotal} rows, d={self.d}>"


def clone_index(index: Index, kind: type[Index] | None = None) -> Any:
    """Return a copy of an index, of another kind where one is given.

    Rows are copied once either of them changes.
    """
    other = object.__new__(kind or type(index))
    other.__dict__.update(index.__dict__)
    other.__dict__.update({name: copy.copy(index.__dict__[name]) for name in index._owned})
    if "_sharers" in index.__dict__:
        index._sharers.add(other)
    return other


def _written(rows: NDArray[np.float32], out: NDArray[np.float32] | None) -> NDArray[np.float32]:
    if out is None:
        return rows
    out[...] = rows
    return out
