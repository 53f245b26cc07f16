"""Calls on arrays alone: :func:`normalize_L2` and :func:`knn`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .flat import IndexFlat
from .metrics import METRIC_L2
from .vectors import as_matrix

__all__ = ["knn", "normalize_L2", "swig_ptr"]


def normalize_L2(x: NDArray[np.float32]) -> None:
    """Bring rows to unit length, in place; zero rows stay.

    Parameters
    ----------
    x : ndarray of float32, shape (n, d)
        C-contiguous and writable.

    Raises
    ------
    TypeError, ValueError
        Anything else: a copy would be normalized in its place.

    Examples
    --------
    >>> import numpy as np, nearfield.faiss as faiss
    >>> x = np.float32([[3, 4], [0, 0]])
    >>> faiss.normalize_L2(x)
    >>> x
    array([[0.6, 0.8],
           [0. , 0. ]], dtype=float32)
    """
    if not isinstance(x, np.ndarray) or x.dtype != np.float32:
        kind = f"an array of {x.dtype}" if isinstance(x, np.ndarray) else type(x).__name__
        raise TypeError(f"x: got {kind}, expected a NumPy array of float32: it is changed in place")
    if x.ndim != 2 or not x.flags.c_contiguous or not x.flags.writeable:
        raise ValueError(
            f"x: got shape {x.shape}, contiguous: {x.flags.c_contiguous}, writable: "
            f"{x.flags.writeable}; expected a C-contiguous writable matrix"
        )
    lengths = np.sqrt(np.einsum("ij,ij->i", x, x, dtype=np.float64))
    lengths[lengths == 0] = 1
    x /= lengths[:, None].astype(np.float32)


def knn(
    xq: Any, xb: Any, k: int, metric: int = METRIC_L2, metric_arg: float = 0.0
) -> tuple[Any, Any]:
    """Return distances and row numbers of the `k` rows of `xb` nearest to each row of `xq`.

    Examples
    --------
    >>> import numpy as np, nearfield.faiss as faiss
    >>> faiss.knn(np.eye(2), np.eye(2), 1)[1].ravel()
    array([0, 1])
    """
    rows = as_matrix(xb, name="xb")
    index = IndexFlat(rows.shape[1], metric)
    index.add(rows)
    return index.search(xq, k)


def swig_ptr(array: Any) -> Any:
    """Return the array itself: calls that take pointers in FAISS take arrays here."""
    return array
