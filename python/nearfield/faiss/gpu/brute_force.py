"""Exact search without an index, on a GPU where there is one: :func:`knn_gpu`."""

from __future__ import annotations

from typing import Any

from ..metrics import METRIC_L2
from ..vectors import as_matrix
from .indexes import GpuIndexFlat
from .options import GpuIndexFlatConfig

__all__ = ["bruteForceKnn", "knn_gpu"]


def knn_gpu(
    res: Any,
    xq: Any,
    xb: Any,
    k: int,
    D: Any = None,
    I: Any = None,
    metric: int = METRIC_L2,
    device: int = -1,
    use_cuvs: bool = False,
    vectorsMemoryLimit: int = 0,
    queriesMemoryLimit: int = 0,
) -> tuple[Any, Any]:
    """Return distances and row numbers of the `k` rows of `xb` nearest to each row of `xq`.

    Parameters
    ----------
    res : StandardGpuResources
        Accepted, as the limits and `use_cuvs` are.
    xq, xb : array_like, shape (n, d)
    k : int
    D, I : ndarray, optional
        Where results are written as well.
    metric : int, default METRIC_L2
    device : int, default -1
        Number of the GPU; -1: the first.
    """
    rows = as_matrix(xb, name="xb")
    config = GpuIndexFlatConfig(device=max(device, 0))
    index = GpuIndexFlat(res, rows.shape[1], metric, config)
    index.add(rows)
    return index.search(xq, k, D=D, I=I)


def bruteForceKnn(
    res: Any,
    metric: int,
    vectors: Any,
    vectors_row_major: bool,
    num_vectors: int,
    queries: Any,
    queries_row_major: bool,
    num_queries: int,
    dims: int,
    k: int,
    out_distances: Any,
    out_indices: Any,
) -> None:
    """Write what :func:`knn_gpu` returns: FAISS's old call, with arrays for its pointers.

    Parameters
    ----------
    vectors, queries : ndarray
        ``swig_ptr(array)`` is the array itself; matrices of a row each vector, or of a column where
        it says so.
    out_distances, out_indices : ndarray, shape (num_queries, k)
    """
    xb = _matrix(vectors, vectors_row_major, num_vectors, dims)
    xq = _matrix(queries, queries_row_major, num_queries, dims)
    shape = (num_queries, k)
    knn_gpu(res, xq, xb, k, out_distances.reshape(shape), out_indices.reshape(shape), metric)


def _matrix(array: Any, row_major: bool, n: int, dims: int) -> Any:
    return array.reshape(n, dims) if row_major else array.reshape(dims, n).T
