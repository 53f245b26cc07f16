"""What bounds are made of: lengths of rows, and their int8 codes with what those leave over.

Shapes: rows (n, dim); squares, largest, left (n,). Cost: one read of the rows for lengths, two for
codes. Source: own; code x = scale * round(x / scale), scale = largest / 127, as
in the scalar quantizers of every search library.
"""

from __future__ import annotations

import triton
import triton.language as tl

from .tile import wide

__all__ = ["lengths", "quantize"]


@triton.jit
def lengths(rows, squares, largest, n_rows, dim, BR: tl.constexpr, BD: tl.constexpr):
    """Write the squared length of every row, in float64, and its largest absolute value."""
    row = tl.program_id(0).to(tl.int64) * BR + tl.arange(0, BR)
    acc = tl.zeros((BR, BD), tl.float64)
    most = tl.zeros((BR, BD), tl.float32)
    for d0 in range(0, dim, BD):
        column = d0 + tl.arange(0, BD)
        inside = (row[:, None] < n_rows) & (column[None, :] < dim)
        x = tl.load(rows + row[:, None] * dim + column[None, :], mask=inside, other=0)
        acc += wide(x) * wide(x)
        most = tl.maximum(most, tl.abs(x.to(tl.float32)))
    tl.store(squares + row, tl.sum(acc, axis=1), mask=row < n_rows)
    tl.store(largest + row, tl.max(most, axis=1), mask=row < n_rows)


@triton.jit
def quantize(
    rows, scales, codes, left, n_rows, dim,
    INTEGER: tl.constexpr, BR: tl.constexpr, BD: tl.constexpr,
):  # fmt: skip
    """Write codes and the squared length of row - scale * code, in float64.

    Codes are int8 where the scale is used, and otherwise the values rounded to a shorter type.
    """
    row = tl.program_id(0).to(tl.int64) * BR + tl.arange(0, BR)
    if INTEGER:
        scale = wide(tl.load(scales + row, mask=row < n_rows, other=1.0))[:, None]
    acc = tl.zeros((BR, BD), tl.float64)
    for d0 in range(0, dim, BD):
        column = d0 + tl.arange(0, BD)
        inside = (row[:, None] < n_rows) & (column[None, :] < dim)
        at = row[:, None] * dim + column[None, :]
        x = wide(tl.load(rows + at, mask=inside, other=0))
        if INTEGER:
            code = tl.minimum(tl.maximum(tl.floor(x / scale + 0.5), -127.0), 127.0)
            error = x - scale * code
            tl.store(codes + at, code.to(tl.int8), mask=inside)
        else:
            short = x.to(tl.float32).to(codes.dtype.element_ty)
            error = x - wide(short)
            tl.store(codes + at, short, mask=inside)
        acc += error * error
    tl.store(left + row, tl.sum(acc, axis=1), mask=row < n_rows)
