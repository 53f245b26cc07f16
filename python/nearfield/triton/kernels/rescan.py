"""Last pass of exact top-k: float64 scores of all rows in chosen groups.

Program p takes pair p of (query, group), in an order by group that lets neighbours share rows in
the cache. A row's sum has one order wherever the row stands, so equal rows have equal scores.

Shapes: queries (n_queries, dim) float32, rows (n, dim), scores (n_queries, slots, GROUP) float64,
larger is better: inner product, cosine (0 with a zero vector), minus the squared distance.
Cost: GROUP x dim float64 multiply-adds a pair. Source: own.
"""

from __future__ import annotations

import triton
import triton.language as tl

from .tile import wide

__all__ = ["nearest", "rescan"]


@triton.jit
def _scores(
    queries, rows, query, row, n_rows, dim,
    METRIC: tl.constexpr, BD: tl.constexpr, GROUP: tl.constexpr,
):  # fmt: skip
    """Return the float64 scores of one query with GROUP rows; -inf for rows that do not exist."""
    acc = tl.zeros((GROUP, BD), tl.float64)
    row_square = tl.zeros((GROUP, BD), tl.float64)
    query_square = tl.zeros((BD,), tl.float64)
    for d0 in range(0, dim, BD):
        column = d0 + tl.arange(0, BD)
        q = wide(tl.load(queries + query * dim + column, mask=column < dim, other=0.0))
        inside = (row[:, None] < n_rows) & (column[None, :] < dim)
        x = wide(tl.load(rows + row[:, None] * dim + column[None, :], mask=inside, other=0))
        if METRIC == "l2":
            difference = x - q[None, :]
            acc -= difference * difference
        else:
            acc += x * q[None, :]
        if METRIC == "cosine":
            row_square += x * x
            query_square += q * q
    score = tl.sum(acc, axis=1)
    if METRIC == "cosine":
        length = tl.sqrt(tl.sum(row_square, axis=1)) * tl.sqrt(tl.sum(query_square, axis=0))
        score = tl.where(length > 0, score / tl.where(length > 0, length, 1.0), 0.0)
    score = tl.where(score == 0, 0.0, score)  # no sort may tell the two zeros apart
    return tl.where(row < n_rows, score, float("-inf"))


@triton.jit
def rescan(
    queries, rows, groups, order, scores, n_rows, dim, slots,
    METRIC: tl.constexpr, BD: tl.constexpr, GROUP: tl.constexpr,
):  # fmt: skip
    """Score the rows of one group with one query."""
    pair = tl.load(order + tl.program_id(0))
    member = tl.arange(0, GROUP)
    row = tl.load(groups + pair) * GROUP + member
    score = _scores(queries, rows, pair // slots, row, n_rows, dim, METRIC, BD, GROUP)
    tl.store(scores + pair * GROUP + member, score)


@triton.jit
def nearest(
    queries, rows, groups, order, best, labels, n_rows, dim,
    METRIC: tl.constexpr, BD: tl.constexpr, GROUP: tl.constexpr,
):  # fmt: skip
    """Find the best row of one group, the first of equal ones, for one query."""
    query = tl.load(order + tl.program_id(0))
    member = tl.arange(0, GROUP)
    row = tl.load(groups + query).to(tl.int64) * GROUP + member
    score = _scores(queries, rows, query, row, n_rows, dim, METRIC, BD, GROUP)
    most = tl.max(score, axis=0)
    first = tl.min(tl.where(score == most, row, n_rows), axis=0)
    tl.store(best + query, most)
    tl.store(labels + query, first)
