"""Exact search over a matrix, without an index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from . import _core
from .arguments import (
    LARGEST_DIM,
    Metric,
    as_flag,
    as_metric,
    as_positive,
    as_threads,
    check_result_size,
    naming,
)
from .arrays import as_rows
from .filters import LabelSpace, as_mask
from .queries import as_mapped
from .result import SearchResult

if TYPE_CHECKING:
    from .transforms import Tokens, Transform

__all__ = ["topk"]


def topk(
    queries: ArrayLike,
    corpus: ArrayLike,
    k: int = 10,
    metric: Metric = "l2",
    *,
    filter: Any = None,
    transform: Transform | Sequence[Transform] | None = None,
    transform_ids: ArrayLike | None = None,
    tokens: Tokens | ArrayLike | None = None,
    exclude_self: bool = False,
    threads: int | None = None,
    stream: Any = None,
) -> SearchResult:
    """Find the `k` nearest rows of `corpus` for every query, exactly, without an index.

    Parameters
    ----------
    queries : array_like, shape (n_queries, dim) or (dim,)
        float32, float64, float16, bfloat16, int8 or uint8; taken as float32.
    corpus : array_like, shape (n, dim)
        The same types, at most 65,536 columns; float64 is rounded to float32, the others are
        searched as they are.
    k : int, default 10
        Results per query, at least 1. May exceed the number of rows.
    metric : {"l2", "ip", "cosine"}, default "l2"
        Squared Euclidean distance, inner product, or cosine similarity (a zero vector has
        similarity 0 to everything).
    filter : optional
        Rows that may answer: a boolean mask by row, an array of row numbers, a ``range``, or
        :class:`nearfield.Filter`.
    transform, transform_ids, tokens : optional
        What is applied to the queries first, as :meth:`nearfield.Index.search` has it.
    exclude_self : bool, default False
        Query ``i`` never answers row ``i``; `queries` must then have as many rows as `corpus`.
    threads : int, optional
        Threads for this call; :func:`nearfield.num_threads` by default. Never changes the result.
    stream : int or object, optional
        For arrays on a CUDA device: a stream of torch or CuPy, or a handle. By default the one that
        is current in the library of `queries`, or the legacy stream.

    Returns
    -------
    SearchResult
        ``ids`` are row numbers of `corpus`, best first, ties by smaller id; missing ones hold
        :data:`nearfield.MISSING` and a NaN score. No query axis for one query of shape
        ``(dim,)``.

    Raises
    ------
    TypeError
        An argument of a type that would have to be guessed at.
    ValueError
        Wrong shapes, `k` below 1, an unknown metric, NaN or infinity in the vectors.
    DeviceError
        A device, its driver or its compiler is missing or fails, or has too little memory.

    Notes
    -----
    Where both arrays are on one CUDA device (torch, CuPy, JAX, anything with ``__dlpack__`` or
    ``__cuda_array_interface__``) the search runs there, and the results are arrays of the kind that
    `queries` is. It is enqueued on the stream, and nothing waits for it: rows that hold NaN or
    infinity never answer, and a query that does finds nothing, nor does one that a transform takes
    beyond float32. `transform_ids` may be on the device as well; a query whose id is out of range
    there finds nothing.

    The order is that of float64 scores of the stored values, whatever the batch size, the number
    of threads and the processor. May be called from any number of threads.

    Examples
    --------
    >>> import numpy as np, nearfield as nf
    >>> corpus = np.float32([[0, 0], [3, 4], [1, 1]])
    >>> ids, scores, counts = nf.topk(np.float32([[0, 0]]), corpus, k=2)
    >>> ids
    array([[0, 2]])
    >>> scores
    array([[0., 2.]], dtype=float32)
    """
    k = as_positive(k, name="k")
    metric = as_metric(metric)
    thread_count = as_threads(threads)
    leave_out_self = as_flag(exclude_self, name="exclude_self")
    if type(queries) is not np.ndarray or type(corpus) is not np.ndarray:
        from .cuda import search

        if search.is_for_device(queries, corpus):
            return search.topk(
                queries,
                corpus,
                k,
                metric,
                filter=filter,
                exclude_self=leave_out_self,
                stream=stream,
                mapped=(transform, transform_ids, tokens),
            )
    if stream is not None:
        raise TypeError("stream: got one, expected None for arrays on the CPU")
    rows, dtype = as_rows(corpus, name="corpus")
    n, dim = rows.shape
    if dim > LARGEST_DIM:
        raise ValueError(f"corpus: got shape {rows.shape}, expected at most {LARGEST_DIM} columns")
    q = as_mapped("queries", queries, dim, transform, transform_ids, tokens)
    if leave_out_self and (q.rows.shape[0] != n or q.bundle is not None):
        raise ValueError(
            f"exclude_self: got {q.searched} queries for {n} rows, expected as many queries as "
            "rows and no bundle: query i leaves out row i"
        )
    check_result_size(q.searched, k, rows)
    mask = as_mask(filter, LabelSpace(n))
    try:
        found = _core.topk(
            q.rows, rows, dtype, k, metric, mask, leave_out_self, thread_count, map=q.map
        )
    except ValueError as error:
        raise naming(error, query="queries", row="corpus") from None
    return q.shaped(SearchResult(*found))
