"""First pass of exact top-k: an upper bound of the best score in every group of rows.

A tile of scores is computed on tensor cores, reduced to the maximum of every 32 consecutive rows,
and only that is written, raised by the most that its arithmetic can be off: a group whose bound
is below the k-th best exact score cannot hold a winner. Scores never reach memory.

Shapes: queries (n_queries, dim), rows (n, dim), upper (n_queries, ceil(n / GROUP)).
Cost: one maximum (and one product where rows have weights) a score besides the matrix product.
Source: own; the partial maxima are those of TPU-KNN (arXiv 2206.14286), made exact by bounds.
"""

from __future__ import annotations

import triton
import triton.language as tl

from .tile import product, tile

__all__ = ["maxima", "raised"]


@triton.jit
def raised(best, query, group, n_queries, n_groups, lengths, residuals, margins):
    """Raise maxima (queries, groups) by the most they can be off: a N + b R + c + d N^2."""
    is_query = query < n_queries
    is_group = group < n_groups
    length = tl.load(lengths + group, mask=is_group, other=0.0)[None, :]
    residual = tl.load(residuals + group, mask=is_group, other=0.0)[None, :]
    a = tl.load(margins + query * 4, mask=is_query, other=0.0)[:, None]
    b = tl.load(margins + query * 4 + 1, mask=is_query, other=0.0)[:, None]
    c = tl.load(margins + query * 4 + 2, mask=is_query, other=0.0)[:, None]
    d = tl.load(margins + query * 4 + 3, mask=is_query, other=0.0)[:, None]
    bound = best + (a * length + b * residual + c + d * length * length)
    # What overflowed proves nothing, so its rows are looked at.
    bound = tl.where(bound == bound, bound, float("inf"))
    # A query that scores 0 with every row marks itself by c < 0: its winners are the first rows.
    return tl.where(c < 0, -group[None, :].to(tl.float32), bound)


@triton.jit
def maxima(
    queries, rows, weights, biases, factors, lengths, residuals, margins, upper,
    n_queries, n_rows, dim, n_groups,
    WEIGHTED: tl.constexpr, BIASED: tl.constexpr, INTEGER: tl.constexpr,
    PRECISION: tl.constexpr, SIMULATE: tl.constexpr, TMA: tl.constexpr, ROWS_FIRST: tl.constexpr,
    BQ: tl.constexpr, BR: tl.constexpr, BD: tl.constexpr, GROUP: tl.constexpr,
):  # fmt: skip
    """Write the bounds; programs take every num_programs-th tile, queries fastest.

    Neighbouring programs so share a panel of rows. ROWS_FIRST makes rows the long side of the
    product, for batches that are smaller than a tensor-core tile.
    """
    query_tiles = tl.cdiv(n_queries, BQ)
    for t in range(tl.program_id(0), query_tiles * tl.cdiv(n_rows, BR), tl.num_programs(0)):
        q0 = (t % query_tiles) * BQ
        r0 = (t // query_tiles) * BR
        kind: tl.constexpr = tl.int32 if INTEGER else tl.float32
        if ROWS_FIRST:
            acc = tl.zeros((BR, BQ), kind)
        else:
            acc = tl.zeros((BQ, BR), kind)
        for d0 in range(0, dim, BD):
            q = tile(queries, q0, d0, n_queries, dim, BQ, BD, TMA)
            x = tile(rows, r0, d0, n_rows, dim, BR, BD, TMA)
            if ROWS_FIRST:
                acc = product(x, tl.trans(q), acc, PRECISION, SIMULATE)
            else:
                acc = product(q, tl.trans(x), acc, PRECISION, SIMULATE)
        score = acc.to(tl.float32)
        row = r0 + tl.arange(0, BR)
        query = q0 + tl.arange(0, BQ)
        axis: tl.constexpr = 1 if ROWS_FIRST else 0
        across: tl.constexpr = 0 if ROWS_FIRST else 1
        if WEIGHTED:
            weight = tl.load(weights + row, mask=row < n_rows, other=0.0)
            score = score * tl.expand_dims(weight, axis)
        if BIASED:
            bias = tl.load(biases + row, mask=row < n_rows, other=0.0)
            factor = tl.load(factors + query, mask=query < n_queries, other=0.0)
            score = score + tl.expand_dims(bias, axis) * tl.expand_dims(factor, across)
        score = tl.where(tl.expand_dims(row < n_rows, axis), score, float("-inf"))
        if ROWS_FIRST:
            best = tl.trans(tl.max(tl.reshape(score, (BR // GROUP, GROUP, BQ)), axis=1))
        else:
            best = tl.max(tl.reshape(score, (BQ, BR // GROUP, GROUP)), axis=2)
        group = r0 // GROUP + tl.arange(0, BR // GROUP)
        bound = raised(best, query, group, n_queries, n_groups, lengths, residuals, margins)
        inside = (query[:, None] < n_queries) & (group[None, :] < n_groups)
        at = upper + query[:, None].to(tl.int64) * n_groups + group[None, :]
        tl.store(at, bound, mask=inside)
