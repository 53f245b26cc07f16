"""Exact top-k on the GPU: bounds of groups, the best groups, their rows in float64.

The answer is proven before it is given: a group that was not looked at has a bound below the k-th
best exact score. Queries for which that is not so look at four times as many groups, at all in
the end. Cost: one matrix product, 1/32 of its scores written, k groups re-scored a query.
Source: own, after the partial maxima of TPU-KNN (arXiv 2206.14286).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..arguments import Metric, as_positive, choose
from ..result import MISSING, SearchResult
from .adapters import Adapters, adapt
from .bounds import bounds, prepare, scaled
from .launching import GROUP, on, packages
from .rows import Rows
from .tensors import as_finite, as_queries

if TYPE_CHECKING:
    from ..transforms import Transform
    from ..transforms.tokens import Tokens

__all__ = ["topk"]

SCRATCH = 2**31
"""Bytes that the bounds, and the scores, of one chunk of queries may take."""
RESCORED_BYTES = GROUP * 24
"""Bytes of a group that is re-scored: scores, and their sorted copy with positions."""


def topk(
    queries: Any,
    rows: Any,
    k: int = 10,
    metric: Metric | None = None,
    *,
    transform: Transform | Sequence[Transform] | Adapters | None = None,
    transform_ids: Any = None,
    tokens: Tokens | None = None,
    precision: str = "ieee",
) -> SearchResult:
    """Find the `k` nearest rows for every query, exactly, on the GPU.

    Parameters
    ----------
    queries : torch.Tensor, shape (n_queries, dim) or (dim,)
        float32, float64, float16 or bfloat16, taken as float32; on the device of `rows`.
    rows : torch.Tensor, shape (n, dim), or Rows
        float32, float16 or bfloat16 on a CUDA device. :class:`Rows` are measured once and
        searched often.
    k : int, default 10
        Results per query, at least 1; there is no upper limit.
    metric : {"l2", "ip", "cosine"}, optional
        As in :func:`nearfield.topk`; "l2", or that of the :class:`Rows`, by default.
    transform, transform_ids, tokens : optional
        What is applied to the queries first, as :func:`adapt` has it.
    precision : {"ieee", "tf32"}, default "ieee"
        How float32 rows are multiplied in the first pass. Never changes the result: "tf32" uses
        tensor cores, with wider bounds, and re-scores more rows.

    Returns
    -------
    SearchResult
        Of tensors on the device: ``ids`` int64, best first, ties by smaller id, ``scores``
        float32, ``counts`` int64; missing ids hold :data:`nearfield.MISSING`, with a NaN score.

    Raises
    ------
    TypeError, ValueError
        As :func:`nearfield.topk` does; a `metric` other than that of the :class:`Rows`.
    DeviceError
        Tensors on the CPU or on different devices.
    ImportError
        PyTorch or Triton is missing.

    Notes
    -----
    The order is that of float64 scores of the stored values, whatever the batch. The host waits
    for the device twice: for finite queries, and for the proof that nothing was missed.

    Examples
    --------
    >>> import nearfield.triton, torch  # doctest: +SKIP
    >>> corpus = torch.randn(1_000_000, 768, device="cuda", dtype=torch.bfloat16)  # doctest: +SKIP
    >>> ids, scores, counts = nearfield.triton.topk(
    ...     corpus[:100], corpus, k=100, metric="cosine"
    ... )  # doctest: +SKIP
    """
    k = as_positive(k, name="k")
    precision = choose(precision, ("ieee", "tf32"), name="precision")
    if not isinstance(rows, Rows):
        rows = Rows(rows, "l2" if metric is None else metric)
    elif metric not in (None, rows.metric):
        raise ValueError(f"metric: got {metric!r} for rows made ready for {rows.metric!r}")
    q, one = as_queries(queries, name="queries", like=rows.stored)
    if transform is not None:
        mapped = adapt(q, transform, transform_ids=transform_ids, tokens=tokens)
        q = as_finite(mapped, name="queries, transformed")
    elif transform_ids is not None or tokens is not None:
        raise ValueError("transform: got none, expected one beside transform_ids or tokens")
    with on(rows.stored):
        found = _Search(rows, k, precision).all(q)
    return found._without_query_axis() if one else found


class _Search:
    """One call: rows, k and the arithmetic of the first pass."""

    def __init__(self, rows: Rows, k: int, precision: str) -> None:
        self.rows, self.k = rows, k
        self.precision = precision if rows.codes.element_size() == 4 else "ieee"
        self.first = min(first_look(k, rows.scan), rows.n_groups)

    def all(self, q: Any) -> SearchResult:
        """Search in chunks of queries whose bounds and scores fit into the scratch."""
        torch, _ = packages()
        width = max(self.rows.n_groups * 4 + self.first * RESCORED_BYTES, 1)
        chunk = max(1, SCRATCH // width)
        parts = [self._chunk(q[i : i + chunk]) for i in range(0, max(len(q), 1), chunk)]
        return SearchResult(*(torch.cat(part) for part in zip(*parts, strict=True)))

    def _chunk(self, q: Any) -> SearchResult:
        """Search as many groups as it takes to prove the answer of every query."""
        ids, scores, counts = found = _missing(len(q), self.k, q)
        n = min(self.k, self.rows.n)
        if n == 0 or len(q) == 0:
            return found
        counts += n
        prepared = prepare(q, self.rows, self.precision)
        upper = bounds(prepared, self.rows, self.precision)
        pending, take = slice(None), self.first
        while True:
            best, groups = upper.topk(take, dim=1)
            ids[pending, :n], exact = self._best(prepared.exact, groups, n)
            scores[pending, :n] = (-exact if self.rows.metric == "l2" else exact).float()
            if take == self.rows.n_groups:
                return found
            # No group outside has a better bound than the last one inside.
            least = scaled(exact[:, -1], prepared, self.rows.metric)
            left = (best[:, -1].double() >= least).nonzero()[:, 0]
            if len(left) == 0:
                return found
            pending = left if isinstance(pending, slice) else pending[left]
            upper, prepared = upper[left], prepared.some(left)
            take = min(4 * take, self.rows.n_groups)

    def _best(self, q: Any, groups: Any, n: int) -> tuple[Any, Any]:
        """Re-score groups, of as many queries at a time as the scratch has room for."""
        torch, _ = packages()
        piece = max(1, SCRATCH // (groups.shape[1] * RESCORED_BYTES))
        parts = [
            self._rescan(q[i : i + piece], groups[i : i + piece], n)
            for i in range(0, len(q), piece)
        ]
        ids, scores = zip(*parts, strict=True)
        return torch.cat(ids), torch.cat(scores)

    def _rescan(self, q: Any, groups: Any, n: int) -> tuple[Any, Any]:
        """Return the n best rows of each query's groups, and their float64 scores."""
        torch, _ = packages()
        from .kernels.rescan import rescan

        groups = groups.sort(dim=1).values  # a stable sort of scores then leaves ties by id
        slots = groups.shape[1]
        scores = torch.empty(len(q), slots * GROUP, dtype=torch.float64, device=q.device)
        order = groups.flatten().argsort()
        rescan[(order.numel(),)](
            q, self.rows.stored, groups, order, scores, self.rows.n, self.rows.dim, slots,
            METRIC=self.rows.metric, BD=64, GROUP=GROUP,
        )  # fmt: skip
        best, at = scores.sort(dim=1, descending=True, stable=True)
        at = at[:, :n]
        return groups.gather(1, at // GROUP) * GROUP + at % GROUP, best[:, :n]


def first_look(k: int, scan: str) -> int:
    """Return how many groups are re-scored at first: codes of one byte blur the order most."""
    return 6 * k + 64 if scan == "int8" else k + max(8, k // 8)


def _missing(n_queries: int, k: int, like: Any) -> SearchResult:
    """Return a result in which every id is missing."""
    torch, _ = packages()
    return SearchResult(
        torch.full((n_queries, k), MISSING, dtype=torch.int64, device=like.device),
        torch.full((n_queries, k), torch.nan, dtype=torch.float32, device=like.device),
        torch.zeros(n_queries, dtype=torch.int64, device=like.device),
    )
