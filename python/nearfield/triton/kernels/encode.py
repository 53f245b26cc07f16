"""PQ codes: the nearest centroid of every sub-vector, the first of equally near ones.

`encode` multiplies on tensor cores, keeps the best and the second best value of each sub-vector
and marks those whose lead is within the error of the product; `settle` gives the marked ones the
answer of float64 differences. Programs without a mark end at once, so nothing waits for the host.

Shapes: x (n, m * width), codebooks (m, k, width), codes and doubt (n, m).
Cost: one maximum and one argument of it a (sub-vector, centroid). Source: own.
"""

from __future__ import annotations

import triton
import triton.language as tl

from .tile import product, wide

__all__ = ["encode", "settle"]


@triton.jit
def encode(
    x, codebooks, halves, longest, codes, doubt, n, m, k, width, share,
    SIMULATE: tl.constexpr, BM: tl.constexpr, BK: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """Write numbers of centroids, and whether they are in doubt; halves holds -|c|^2 / 2."""
    part = tl.program_id(1).to(tl.int64)
    row = tl.program_id(0).to(tl.int64) * BM + tl.arange(0, BM)
    column = tl.arange(0, WIDTH)
    inside = (row[:, None] < n) & (column[None, :] < width)
    sub = tl.load(x + row[:, None] * (m * width) + part * width + column[None, :], mask=inside,
                  other=0).to(tl.float32)  # fmt: skip
    best = tl.full((BM,), float("-inf"), tl.float32)
    second = tl.full((BM,), float("-inf"), tl.float32)
    where = tl.zeros((BM,), tl.int32)
    for k0 in range(0, k, BK):
        centroid = k0 + tl.arange(0, BK)
        known = (centroid[:, None] < k) & (column[None, :] < width)
        c = tl.load(codebooks + (part * k + centroid)[:, None] * width + column[None, :],
                    mask=known, other=0.0)  # fmt: skip
        half = tl.load(halves + part * k + centroid, mask=centroid < k, other=0.0)
        value = product(sub, tl.trans(c), tl.zeros((BM, BK), tl.float32), "tf32x3", SIMULATE)
        value = tl.where(centroid[None, :] < k, value + half[None, :], float("-inf"))
        top = tl.max(value, axis=1)
        at = tl.argmax(value, axis=1)
        others = tl.where(tl.arange(0, BK)[None, :] == at[:, None], float("-inf"), value)
        second = tl.maximum(second, tl.maximum(tl.max(others, axis=1), tl.minimum(best, top)))
        where = tl.where(top > best, k0 + at, where)
        best = tl.maximum(best, top)
    reach = tl.load(longest + part)
    length = tl.sqrt(tl.sum(sub * sub, axis=1))
    error = share * reach * (length + reach) + width * 2.0**-124
    sure = (best - second > 2 * error) & (error < 1e30)
    at = row * m + part
    tl.store(codes + at, where, mask=row < n)
    tl.store(doubt + at, tl.where(sure, 0, 1).to(tl.int8), mask=row < n)


@triton.jit
def settle(x, codebooks, codes, doubt, n, m, k, width, BM: tl.constexpr, BK: tl.constexpr):
    """Find the centroids of the marked sub-vectors by float64 differences."""
    part = tl.program_id(1).to(tl.int64)
    row = tl.program_id(0).to(tl.int64) * BM + tl.arange(0, BM)
    at = row * m + part
    marked = tl.load(doubt + at, mask=row < n, other=0)
    if tl.max(marked.to(tl.int32), axis=0) > 0:
        best = tl.full((BM,), float("inf"), tl.float64)
        where = tl.zeros((BM,), tl.int32)
        for k0 in range(0, k, BK):
            centroid = k0 + tl.arange(0, BK)
            distance = tl.zeros((BM, BK), tl.float64)
            for d in range(width):
                value = wide(tl.load(x + row * (m * width) + part * width + d, mask=row < n,
                                     other=0.0))  # fmt: skip
                c = wide(tl.load(codebooks + (part * k + centroid) * width + d,
                                 mask=centroid < k, other=0.0))  # fmt: skip
                difference = value[:, None] - c[None, :]
                distance += difference * difference
            distance = tl.where(centroid[None, :] < k, distance, float("inf"))
            least = tl.min(distance, axis=1)
            first = tl.min(tl.where(distance == least[:, None], centroid[None, :], k), axis=1)
            where = tl.where(least < best, first, where)
            best = tl.minimum(best, least)
        tl.store(codes + at, where, mask=(row < n) & (marked > 0))
