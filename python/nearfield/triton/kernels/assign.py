"""k-means: the group of centroids nearest to every point, and sums of the points of a cluster.

Assignment is the first pass of top-k with one answer: a point keeps the best bound it has met and
the second best, and the matrix of scores never exists. Update sorts points by cluster and adds
them in that order, in float64, so that it gives the same bits every time: no atomics.

Cost: one product of points and centroids; one read of the points. Source: own; the online maximum
and the sorted update are those of flash-kmeans.
"""

from __future__ import annotations

import triton
import triton.language as tl

from .maxima import raised
from .tile import product, tile, wide

__all__ = ["best_groups", "chunk_sums", "cluster_sums"]


@triton.jit
def best_groups(
    points, centroids, biases, lengths, residuals, margins, groups, second,
    n_points, n_centroids, dim, n_groups,
    BIASED: tl.constexpr, PRECISION: tl.constexpr, SIMULATE: tl.constexpr, TMA: tl.constexpr,
    BQ: tl.constexpr, BR: tl.constexpr, BD: tl.constexpr, GROUP: tl.constexpr,
):  # fmt: skip
    """Write the group with the best bound, and the best bound of all other groups."""
    p0 = tl.program_id(0) * BQ
    point = p0 + tl.arange(0, BQ)
    best = tl.full((BQ,), float("-inf"), tl.float32)
    next_best = tl.full((BQ,), float("-inf"), tl.float32)
    where = tl.zeros((BQ,), tl.int32)
    for c0 in range(0, n_centroids, BR):
        acc = tl.zeros((BQ, BR), tl.float32)
        for d0 in range(0, dim, BD):
            x = tile(points, p0, d0, n_points, dim, BQ, BD, TMA)
            c = tile(centroids, c0, d0, n_centroids, dim, BR, BD, TMA)
            acc = product(x, tl.trans(c), acc, PRECISION, SIMULATE)
        centroid = c0 + tl.arange(0, BR)
        if BIASED:
            acc += tl.load(biases + centroid, mask=centroid < n_centroids, other=0.0)[None, :]
        acc = tl.where(centroid[None, :] < n_centroids, acc, float("-inf"))
        most = tl.max(tl.reshape(acc, (BQ, BR // GROUP, GROUP)), axis=2)
        group = c0 // GROUP + tl.arange(0, BR // GROUP)
        bound = raised(most, point, group, n_points, n_groups, lengths, residuals, margins)
        bound = tl.where(group[None, :] < n_groups, bound, float("-inf"))
        top = tl.max(bound, axis=1)
        at = tl.argmax(bound, axis=1)
        others = tl.where(tl.arange(0, BR // GROUP)[None, :] == at[:, None], float("-inf"), bound)
        runner_up = tl.maximum(tl.max(others, axis=1), tl.minimum(best, top))
        next_best = tl.maximum(next_best, runner_up)
        where = tl.where(top > best, c0 // GROUP + at, where)
        best = tl.maximum(best, top)
    tl.store(groups + point, where, mask=point < n_points)
    tl.store(second + point, next_best, mask=point < n_points)


@triton.jit
def chunk_sums(
    points, order, chunk_first, chunk_count, sums, dim, CHUNK: tl.constexpr, BD: tl.constexpr
):
    """Add the points of one chunk of one cluster, in order; a chunk may be empty."""
    chunk = tl.program_id(0)
    first = tl.load(chunk_first + chunk)
    count = tl.load(chunk_count + chunk)
    column = tl.program_id(1) * BD + tl.arange(0, BD)
    acc = tl.zeros((BD,), tl.float64)
    for i in range(count):
        point = tl.load(order + first + i)
        acc += wide(tl.load(points + point * dim + column, mask=column < dim, other=0.0))
    tl.store(sums + chunk.to(tl.int64) * dim + column, acc, mask=column < dim)


@triton.jit
def cluster_sums(sums, first_chunk, totals, dim, BD: tl.constexpr):
    """Add the chunks of one cluster, in order."""
    cluster = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * BD + tl.arange(0, BD)
    acc = tl.zeros((BD,), tl.float64)
    for chunk in range(tl.load(first_chunk + cluster), tl.load(first_chunk + cluster + 1)):
        acc += tl.load(sums + chunk * dim + column, mask=column < dim, other=0.0)
    tl.store(totals + cluster * dim + column, acc, mask=column < dim)
