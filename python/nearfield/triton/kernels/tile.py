"""What kernels share: a product of tiles, a tile of a matrix, and numbers as float64.

The product is the only place that calls ``tl.dot``. Triton's interpreter multiplies bfloat16 bit
patterns as integers and does not round to tf32; SIMULATE casts and rounds there, so that what runs
without a GPU is what a GPU computes, but for the order of sums. Source: own.
"""

from __future__ import annotations

import triton
import triton.language as tl

__all__ = ["product", "tile", "wide"]


@triton.jit
def _truncated(x):
    """Drop the 13 bits that a tf32 product ignores."""
    bits = x.to(tl.uint32, bitcast=True) & 0xFFFFE000
    return bits.to(tl.float32, bitcast=True)


@triton.jit
def product(a, b, acc, PRECISION: tl.constexpr, SIMULATE: tl.constexpr):
    """Return acc + a @ b: int8 sums in int32, everything else in float32."""
    if a.dtype == tl.int8:
        acc = tl.dot(a, b, acc, out_dtype=tl.int32)
    elif SIMULATE:
        a = a.to(tl.float32)
        b = b.to(tl.float32)
        if PRECISION == "tf32":
            a = _truncated(a)
            b = _truncated(b)
        acc = tl.dot(a, b, acc, input_precision="ieee")
    else:
        acc = tl.dot(a, b, acc, input_precision=PRECISION)
    return acc


@triton.jit
def tile(
    matrix, first, column, n, dim, ROWS: tl.constexpr, COLUMNS: tl.constexpr, TMA: tl.constexpr
):
    """Return rows from `first` and columns from `column` on; zeros beyond the matrix."""
    if TMA:
        values = matrix.load([first, column])
    else:
        rows = first + tl.arange(0, ROWS)
        columns = column + tl.arange(0, COLUMNS)
        inside = (rows[:, None] < n) & (columns[None, :] < dim)
        at = matrix + rows[:, None].to(tl.int64) * dim + columns[None, :]
        values = tl.load(at, mask=inside, other=0)
    return values


@triton.jit
def wide(x):
    """Return values as float64, exactly."""
    return x.to(tl.float32).to(tl.float64)
