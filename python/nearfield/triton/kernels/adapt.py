"""Adapters on the GPU: residual maps of low rank, mixes of learned values, lexical modulation.

`adapt` takes tiles of rows that share one adapter; a tile is read for its hidden values, again for
its length where results are normalised, and a last time to be written: the later reads come from
the cache, so memory sees one read and one write. `modulate` holds one row in registers.

Shapes: x (n, dim); down, up (adapters, rank, dim); bias (adapters, dim); out (n, dim).
Cost: 4 n dim rank operations, and n dim values in and out. Source: own; tiles of one adapter
after Punica (arXiv 2310.18547) and S-LoRA (arXiv 2311.03285).
"""

from __future__ import annotations

import triton
import triton.language as tl

from .tile import product, wide

__all__ = ["adapt", "modulate"]


@triton.jit
def _mapped(
    x, up, bias, hidden, row, is_row, column, adapter, dim, known_dim,
    BIASED: tl.constexpr, RANK: tl.constexpr, PRECISION: tl.constexpr, SIMULATE: tl.constexpr,
):  # fmt: skip
    """Return x + hidden up + bias for a tile: the residual is added last, so 0 changes nothing."""
    inside = is_row[:, None] & (column[None, :] < dim)
    value = tl.load(x + row[:, None] * dim + column[None, :], mask=inside, other=0).to(tl.float32)
    rank = tl.arange(0, RANK)
    at = (adapter * RANK + rank)[:, None] * dim + column[None, :]
    known = (column[None, :] < known_dim) & (rank[:, None] >= 0)
    weight = tl.load(up + at, mask=known, other=0.0)
    change = product(hidden, weight, tl.zeros_like(value), PRECISION, SIMULATE)
    if BIASED:
        at = bias + adapter * dim + column
        change += tl.load(at, mask=column < known_dim, other=0.0)[None, :]
    return value + change


@triton.jit
def adapt(
    x, order, piece_first, piece_count, piece_adapter, down, up, bias, ranks, out, dim,
    MIXES: tl.constexpr, BIASED: tl.constexpr, NORMALIZE: tl.constexpr, RANK: tl.constexpr,
    PRECISION: tl.constexpr, SIMULATE: tl.constexpr, BM: tl.constexpr, BD: tl.constexpr,
):  # fmt: skip
    """Map the rows of one piece; adapter -1 is none. MIXES takes softmax of the hidden values."""
    piece = tl.program_id(0)
    count = tl.load(piece_count + piece)
    if count > 0:
        adapter = tl.load(piece_adapter + piece) - 1
        known_dim = tl.where(adapter >= 0, dim, 0)  # no adapter is one without columns
        member = tl.arange(0, BM)
        is_row = member < count
        row = tl.load(order + tl.load(piece_first + piece) + member, mask=is_row, other=0)
        rank = tl.arange(0, RANK)
        hidden = tl.zeros((BM, RANK), tl.float32)
        for d0 in range(0, dim, BD):
            column = d0 + tl.arange(0, BD)
            inside = is_row[:, None] & (column[None, :] < dim)
            value = tl.load(x + row[:, None] * dim + column[None, :], mask=inside, other=0)
            at = (adapter * RANK + rank)[:, None] * dim + column[None, :]
            known = (column[None, :] < known_dim) & (rank[:, None] >= 0)
            weight = tl.load(down + at, mask=known, other=0.0)
            hidden = product(value.to(tl.float32), tl.trans(weight), hidden, PRECISION, SIMULATE)
        if MIXES:
            known_keys = tl.load(ranks + tl.maximum(adapter, 0))
            hidden = tl.where(rank[None, :] < known_keys, hidden, float("-inf"))
            hidden = tl.exp(hidden - tl.max(hidden, axis=1)[:, None])
            hidden = hidden / tl.sum(hidden, axis=1)[:, None]
        inverse = tl.full((BM,), 1.0, tl.float64)
        if NORMALIZE:
            square = tl.zeros((BM,), tl.float64)
            for d0 in range(0, dim, BD):
                column = d0 + tl.arange(0, BD)
                y = wide(_mapped(x, up, bias, hidden, row, is_row, column, adapter, dim, known_dim,
                                 BIASED, RANK, PRECISION, SIMULATE))  # fmt: skip
                square += tl.sum(y * y, axis=1)
            inverse = 1.0 / tl.sqrt(tl.where(square > 0, square, 1.0))
        for d0 in range(0, dim, BD):
            column = d0 + tl.arange(0, BD)
            y = _mapped(x, up, bias, hidden, row, is_row, column, adapter, dim, known_dim,
                        BIASED, RANK, PRECISION, SIMULATE)  # fmt: skip
            if NORMALIZE:
                y = (wide(y) * inverse[:, None]).to(tl.float32)
            inside = is_row[:, None] & (column[None, :] < dim)
            tl.store(out + row[:, None] * dim + column[None, :], y, mask=inside)


@triton.jit
def modulate(
    x, ids, weights, offsets, matrix, bias, out, dim,
    BIASED: tl.constexpr, NORMALIZE: tl.constexpr, BD: tl.constexpr,
):  # fmt: skip
    """Write exp(z - max z) * x, with z the weighted sum of the matrix's rows for the tokens."""
    row = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, BD)
    inside = column < dim
    z = tl.zeros((BD,), tl.float32)
    if BIASED:
        z = tl.load(bias + column, mask=inside, other=0.0)
    for i in range(tl.load(offsets + row), tl.load(offsets + row + 1)):
        weight = tl.load(weights + i)
        z += weight * tl.load(matrix + tl.load(ids + i) * dim + column, mask=inside, other=0.0)
    z = tl.where(inside, z, float("-inf"))
    factor = tl.exp(z - tl.max(z, axis=0))
    y = factor * tl.load(x + row * dim + column, mask=inside, other=0).to(tl.float32)
    if NORMALIZE:
        square = tl.sum(wide(y) * wide(y), axis=0)
        y = (wide(y) / tl.sqrt(tl.where(square > 0, square, 1.0))).to(tl.float32)
    tl.store(out + row * dim + column, y, mask=inside)
